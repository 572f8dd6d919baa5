"""Settings of the machine: engine, device, threads and processes."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, setting


@dataclass(frozen=True)
class MachineConfig(Section):
    """The engine and device that run the model.

    They change at most the last digits of the result, so they are not stored in the checkpoint.
    """

    threads: int | None = setting(
        None, "number of threads for matrix products (default: one per core, at most 8)", kind=int, at_least=1
    )
    engine: str = setting(
        "auto",
        "what runs the model. c: C code compiled by Aesara; jax: XLA through JAX; auto: jax if it is installed, else c",
        choices=("auto", "c", "jax"),
    )  # fmt: skip
    device: str = setting(
        "auto", "device for engine jax; auto: a GPU if JAX finds one, else the CPU", choices=("auto", "cpu", "gpu")
    )
    kernels: str = setting(
        "auto",
        "auto: compute all time steps of an LSTM or GRU in one call, with engine jax on a CPU, if that was compiled at "
        "installation; none: one step after the other",
        choices=("auto", "none"),
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingMachineConfig(MachineConfig):
    """The machine for training, which several devices and processes can share."""

    num_devices: str = setting("1", "number of devices that share each batch; auto: all available devices", metavar="N")
    coordinator: str | None = setting(
        None, "address at which process 0 waits for the other processes, if several train together", metavar="HOST:PORT"
    )
    num_processes: int | None = setting(None, "number of processes that train together", kind=int, at_least=1)
    process_id: int | None = setting(
        None, "number of this process, from 0; process 0 writes the checkpoint and the log", kind=int, at_least=0
    )
