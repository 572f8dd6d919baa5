"""Settings of the machine: engine, device, threads and processes."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, setting


@dataclass(frozen=True)
class MachineConfig(Section):
    """What does the work; changes at most the last digits of what is learned, so it is not stored."""

    threads: int | None = setting(
        None, "threads of matrix products (default: one for each core, at most 8)", kind=int, at_least=1
    )
    engine: str = setting(
        "auto", "what runs the model: Aesara's C code, or XLA by JAX; auto: jax where it is installed",
        choices=("auto", "c", "jax"),
    )  # fmt: skip
    device: str = setting("auto", "where engine jax runs; auto: a GPU if it sees one", choices=("auto", "cpu", "gpu"))


@dataclass(frozen=True)
class TrainingMachineConfig(MachineConfig):
    """What does the work of training, which several devices and processes can share."""

    num_devices: str = setting("1", "devices that have a part of each batch each; auto: all there are", metavar="N")
    coordinator: str | None = setting(
        None, "where process 0 waits for the other processes that train with it", metavar="HOST:PORT"
    )
    num_processes: int | None = setting(None, "how many processes train together", kind=int, at_least=1)
    process_id: int | None = setting(
        None, "which of them this one is; 0 writes the checkpoint and the log", kind=int, at_least=0
    )
