"""A bundle behind Triton: one request, a response for every step, and the pictures with the last.

`execute` gives requests to a Server and comes back; a thread for each follows its job, sends what is new, and looks
whether the client has cancelled. Any system's bundle runs. Source: Triton's python_backend, README, Decoupled mode.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

import handfirst
from handfirst.engines.errors import UserError
from handfirst.runtime.batch.records import strict_json
from handfirst.runtime.errors import BusyError, JobCancelledError, JobError, PoseError, RequestError
from handfirst.runtime.http.asking import asked_of, check_fit, request_of
from handfirst.runtime.http.limits import Limits
from handfirst.runtime.metadata import packet
from handfirst.runtime.pictures import encode
from handfirst.runtime.systems import module_of

POLL_S = 0.05
"""Between two looks at whether the client has cancelled."""


class TritonPythonModel:
    """What Triton loads, once for each instance."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the model and paints once; an error here is Triton's to show, and the model is not loaded."""
        given = json.loads(args["model_config"]).get("parameters", {})
        said = {name: value["string_value"] for name, value in given.items()}
        threads = int(said["threads"]) if said.get("threads") else None
        self.model = handfirst.open(said.get("bundle") or None, said.get("engine") or "auto", threads)
        self.told = module_of(self.model.bundle.manifest)
        self.limits = Limits()
        jobs, waiting = int(said.get("jobs") or 1), int(said.get("waiting") or 16)
        self.server = handfirst.Server(self.model, jobs, waiting, warm_up=True)

    def execute(self, requests: list[Any]) -> None:
        """Takes requests; responses come from threads, in whatever order."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                job = self.server.submit(self._request(request))
            except Exception as error:
                _fail(sender, error)
            else:
                threading.Thread(target=self._follow, args=(job, sender), daemon=True).start()
        return None

    def finalize(self) -> None:
        """Ends what runs, after the step under way."""
        self.server.stop()
        self.model.close()

    def _request(self, request: Any) -> handfirst.Request:
        """What the model is asked; raises a UserError."""
        tensor = pb_utils.get_input_tensor_by_name(request, "request").as_numpy()
        try:
            said = strict_json(bytes(tensor.ravel()[0]))
        except ValueError as error:
            raise RequestError(f"request: {error}") from None
        asked = request_of(self.told, asked_of(self.told.JOBS, said, False, self.limits))
        check_fit(self.told, self.model.settings, asked, self.limits)
        return asked

    def _follow(self, job: handfirst.Job, sender: Any) -> None:
        """Sends every step that it is quick enough for, and the end."""
        changed, seen = threading.Event(), 0
        job.watch(changed.set)
        try:
            while True:
                changed.clear()
                if sender.is_cancelled():
                    job.cancel("by its client")
                if (piece := job.news(seen)) is None:
                    changed.wait(POLL_S)
                    continue
                seen, progress = piece
                if progress.result is not None:
                    break
                told = {"stage": progress.stage, "step": progress.step, "total": progress.total}
                sender.send(pb_utils.InferenceResponse(output_tensors=[_texts("told", [json.dumps(told).encode()])]))
            sender.send(self._made(progress.result), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception as error:
            _fail(sender, error)

    def _made(self, result: Any) -> Any:
        """The last response."""
        pictures = {name: image for _, name, image in self.told.pictures(result)}
        told = {
            "seed": result.seed,
            "asked": dict(result.asked),
            "seconds": result.seconds,
            "warnings": list(result.warnings),
            "pictures": list(pictures),
        }
        xmp = packet(self.model.bundle, result)
        files = [encode(image, xmp=xmp) for image in pictures.values()]
        return pb_utils.InferenceResponse(
            output_tensors=[_texts("told", [json.dumps(told).encode()]), _texts("pictures", files)]
        )


def _texts(name: str, values: list[bytes]) -> Any:
    return pb_utils.Tensor(name, np.array(values, np.object_))


def _fail(sender: Any, error: Exception) -> None:
    """An error instead of what is left; only what speaks of the request itself is told in its own words."""
    codes = pb_utils.TritonError
    if isinstance(error, BusyError):
        failed = codes(str(error), codes.UNAVAILABLE)
    elif isinstance(error, JobCancelledError):
        failed = codes(str(error), codes.CANCELLED)
    elif isinstance(error, RequestError | PoseError | JobError):
        failed = codes(str(error), codes.INVALID_ARG)
    else:
        kind = "UserError" if isinstance(error, UserError) else type(error).__name__
        pb_utils.Logger.log_error(f"handfirst: {kind}: {error}")
        failed = codes("something went wrong in the model; Triton's log has what", codes.INTERNAL)
    sender.send(pb_utils.InferenceResponse(error=failed), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
