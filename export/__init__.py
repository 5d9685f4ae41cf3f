"""torch -> ONNX -> a bundle; the libraries it imports report nothing home."""

from handfirst.engines.telemetry import switch_off

switch_off()  # they read their switches when they are imported, and every module of this room is imported after this
