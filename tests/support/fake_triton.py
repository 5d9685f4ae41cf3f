"""Triton's Python API as far as a decoupled model needs it, as strict as the real one is.

From its sources: github.com/triton-inference-server/python_backend, src/pb_stub.cc, response_sender.cc and
triton_python_backend_utils.py. A sender takes nothing after its final flag; a send without a response must have it.
"""

import threading
from typing import ClassVar

import numpy as np

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class TritonError:
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message, code=INTERNAL):
        assert type(message) is str and type(code) is int
        self._message, self._code = message, code

    def message(self):
        return self._message

    def code(self):
        return self._code


class Logger:
    errors: ClassVar[list[str]] = []

    @classmethod
    def log_error(cls, message):
        cls.errors.append(message)


class Tensor:
    def __init__(self, name, array):
        assert type(name) is str and type(array) is np.ndarray
        if array.dtype == np.object_:
            assert all(type(each) in (bytes, str) for each in array.ravel())
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


class InferenceResponse:
    def __init__(self, output_tensors=(), error=None, parameters=None):
        assert error is None or type(error) is TritonError
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self):
        return self._tensors

    def has_error(self):
        return self._error is not None

    def error(self):
        return self._error


class Sender:
    def __init__(self, request):
        self._request, self.responses, self.closed = request, [], threading.Event()

    def send(self, response=None, flags=0):
        if self.closed.is_set():
            raise RuntimeError("Unable to send response. Response sender has been closed.")
        if flags not in (0, TRITONSERVER_RESPONSE_COMPLETE_FINAL):
            raise RuntimeError("Unable to send response. Unsupported flag provided.")
        if response is None and flags == 0:
            raise RuntimeError("Inference Response object must be provided when the response flags is set to zero.")
        if response is not None:
            self.responses.append(response)
        if flags == TRITONSERVER_RESPONSE_COMPLETE_FINAL:
            self.closed.set()

    def is_cancelled(self):
        return self._request.cancelled


class InferenceRequest:
    """A client's; `cancelled` may be set at any time."""

    def __init__(self, **inputs):
        self._inputs = [Tensor(name, array) for name, array in inputs.items()]
        self.cancelled = False
        self.sender = Sender(self)

    def inputs(self):
        return self._inputs

    def get_response_sender(self):
        return self.sender


def get_input_tensor_by_name(request, name):
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)
