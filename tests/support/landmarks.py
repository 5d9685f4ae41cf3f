"""MediaPipe's landmarks by their names in its documentation, beside COCO-WholeBody's points by theirs."""

BODY = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11, "right_shoulder": 12,
    "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
    "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28, "left_big_toe": 31, "left_small_toe": None,
    "left_heel": 29, "right_big_toe": 32, "right_small_toe": None, "right_heel": 30,
}  # fmt: skip
"""MediaPipe's PoseLandmark numbers beside COCO's names in COCO's order, the feet after them."""
FACE = {
    "chin": (152, 8), "right eye, outer": (33, 36), "right eye, inner": (133, 39), "left eye, inner": (362, 42),
    "left eye, outer": (263, 45), "right mouth corner": (61, 48), "left mouth corner": (291, 54),
    "upper lip": (0, 51), "lower lip": (17, 57), "inner upper lip": (13, 62), "inner lower lip": (14, 66),
}  # fmt: skip
"""The face mesh's well-known vertices, and the places of the 68 that mean the same."""
