"""The generator author's manual: every hook, when it is called, its arguments with shapes,
and what may be returned.

A generator is a module with functions or a class with methods, each marked `@genbench.hookimpl`. An
implementation names only the arguments that it wants; the arguments that it names are its
abilities. The least plugin is a file:

    import torch, genbench

    @genbench.hookimpl
    def sample(n):
        return torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8)

A class's constructor may name `checkpoint` (path or None), `device`, `dataset` (with name, classes,
resolution, open(split)), and its options: keyword arguments with a default and an annotation (str,
int, float, bool, Literal, Path, each with or without Annotated[..., "what it means"]), cast from
`-o name=value`. Class attributes, all optional (a module may have the same names at its top; it has
no options and no checkpoint):

    range           (low, high) of float images; a float return without it is refused
    classes         how many classes the labels run over; or a static method of the checkpoint's
                    path that says so, 0 for an unconditional network, which is then given no labels
                    (None), None for as many as the data set has
    asks            which of the conditions that its sample names the checkpoint's network wants: a
                    static method of the checkpoint's path; the others are None. Without
                    it all of them
    resolution      of the images
    paper, licence  of the method and of the weights
    pretrained_on   data sets that its weights, or a network inside, have seen
    checkpoints     {data set: {"file": beside the module, or "url": published;
                    "sha256", "licence"}}
    spaces          names of its latent spaces, the first is the default
    training        {"epochs": .., "batch": ..}: what `genbench train` does unless told otherwise
    holds           of a set of stored images: a static method of the checkpoint's path that says
                    how many there are; the run's n unless told otherwise
    usual           {option: value} that a checkpoint has unless told otherwise: a static method of
                    its path; so that the record has them
    beside          the files that are read beside a checkpoint that is one file (its YAML, its
                    JSON): a static method of the checkpoint's path; what is in them is part of the
                    run's identity, as all of a folder is. Import within it what it needs: the
                    method itself is no part
    fetches         where `--checkpoint hf:owner/name` is taken: a static method of "owner/name", or
                    "owner/name@revision", that returns the path
    executes        True where the checkpoint is a program that reading it runs: then a run asks for
                    --trust and the file's SHA-256
    competitor      False for a line of reference (real images served as samples), which boards show
                    and never rank

Tensors lie on the run's device. Calls run under torch.no_grad(). A genbench.UserError raised in a
plugin ends the run in one line (exit 2); anything else is shown with its traceback (exit 5).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import torch

hookspec = pluggy.HookspecMarker("genbench")
hookimpl = pluggy.HookimplMarker("genbench")

#: Arguments of `sample` that are one entry per image, given by the run's conditions.
CONDITIONS = ("labels", "prompts", "sources")


class Hooks:
    """One method per hook; the first implementation that returns something other than
    None answers.
    """

    @hookspec(firstresult=True)
    def sample(  # type: ignore[empty-body]
        self,
        n: int,
        seeds: torch.Tensor,
        indices: torch.Tensor,
        labels: torch.Tensor,
        prompts: list[str],
        sources: torch.Tensor,
    ) -> torch.Tensor:
        """Draw n images; called once per batch of a run.

        n        how many
        seeds    int64 [n]; naming it promises that image i depends on seed i alone (draw with
                 genbench.noise and genbench.uniform)
        indices  int64 [n], the place of each image in the run
        labels   int64 [n], the class of each image, 0 .. classes-1; naming it makes the generator
                 class-conditional
        prompts  n texts, of --prompts or of the classes' names in a template; naming it makes the
                 generator text-conditional
        sources  uint8 [n, 3, h, w], for image-to-image and restoration (a data set must give them)
        returns  uint8 [n, 3, H, W] or [n, 1, H, W], taken as it is; or float in the declared
                 `range`, quantised by the protocol. Any device.

        A generator that does not name `seeds` is called once per 50 images with torch, numpy and
        random seeded globally, and the record says so.
        """

    @hookspec(firstresult=True)
    def latents(self, seeds: torch.Tensor, labels: torch.Tensor, space: str) -> torch.Tensor:  # type: ignore[empty-body]
        """The latent vectors behind seeds int64 [n] (and labels int64 [n]) in a space ("z", "w",
        ...): float [n, ...].
        """

    @hookspec(firstresult=True)
    def synthesize(  # type: ignore[empty-body]
        self, latents: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor, space: str
    ) -> torch.Tensor:
        """The images of `latents` float [n, ...] in `space`, with labels and seeds int64 [n]:
        float [n, 3, H, W] in -1 to 1.

        Unquantised: a path length at epsilon 1e-4 would measure rounding.
        """

    @hookspec(firstresult=True)
    def reconstruct(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
        """An autoencoder's reconstruction of each image, itself and no draw:
        the decoder of the posterior's mean, or of the nearest codes.

        images   uint8 [n, 3, h, w], real
        labels   int64 [n], the class of each image
        returns  as `sample` does, images of the same size; None where the checkpoint has no encoder
        """

    @hookspec(firstresult=True)
    def train(  # type: ignore[empty-body]
        self,
        batches: Iterable[Any],
        seed: int,
        diffaug: Callable[..., Any] | None,
        karras: Callable[..., Any] | None,
        late: Callable[[], bool] | None,
    ) -> Generator[tuple[int, int, dict[str, float]], None, None]:
        """Train on batches; called by `genbench train`, with gradients on.

        batches  len(batches) pairs of images uint8 [b, 3, h, w] and labels int64 [b] on the device;
                 order, epochs and over-sampling are the caller's
        seed     for the initial weights and all noise
        diffaug  None, or with `--augment diffaug` a function: images float [b, c, h, w] in -1 to
                 1 -> the same augmented, differentiable. A GAN that names it shows its
                 discriminator real and generated images through it, and through nothing else
        karras   None, or with `--augment karras` a function: images float [b, c, h, w] -> (images,
                 what was done float [b, 9]). A diffusion model that names it learns on these
                 images, is told what was done, and at sampling is told 0
        late     None, or with `--tail staged` a function: whether the last stage, of class-aware
                 batches, has begun. A generator that names it then trains its class embeddings and
                 last block alone, on what it has learned so far (Kang et al. 2020); others train
                 on as before
        returns  a generator function's iterator that yields (step, of, {"loss": x}); progress,
                 saving and stopping are the caller's
        """

    @hookspec(firstresult=True)
    def state(self) -> dict[str, torch.Tensor]:  # type: ignore[empty-body]
        """The weights as they would be saved: what `checkpoint` reads back."""

    @hookspec(firstresult=True)
    def cost(self) -> dict[str, float]:  # type: ignore[empty-body]
        """{"parameters": ..., "evaluations": network evaluations per image}."""


HOOKS = tuple(name for name in vars(Hooks) if not name.startswith("_"))
