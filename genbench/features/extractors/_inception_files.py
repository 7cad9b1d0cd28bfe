"""The Inception of FID (2015-12-05) as it is published: one set of parameters in three files
of two forms.
"""

from __future__ import annotations

from genbench.api.extractor import File, Weights

FORMS = ("torch-fidelity and pytorch-fid", "NVIDIA")
CONVERTED = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
TORCH_FIDELITY = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-"
    "05-6726825d.pth"
)
PYTORCH_FID = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-"
    "05-6726825d.pth"
)
NVIDIA = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
WEIGHTS = Weights(
    "inception",
    "Apache-2.0 (TensorFlow's model, from which all three are converted)",
    (
        File(
            "weights-inception-2015-12-05-6726825d.pth",
            CONVERTED,
            95628359,
            TORCH_FIDELITY,
            FORMS[0],
        ),
        File("pt_inception-2015-12-05-6726825d.pth", CONVERTED, 95628359, PYTORCH_FID, FORMS[0]),
        File(
            "inception-2015-12-05.pt",
            "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
            0,
            NVIDIA,
            FORMS[1],
        ),
    ),
)
