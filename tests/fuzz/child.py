"""A process that reads hostile files, so that a hang or a crash of it can be told."""

import hashlib
import multiprocessing
import resource
import traceback
from pathlib import Path

import numpy as np

PATIENCE = 10  # seconds for one file


def digest(pixels):
    """Name an array by its shape and content."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def read(path):
    from torchreid_adv.data.images import read_pixels

    return digest(read_pixels(path))


def read_as_torchreid(path):
    from torchreid_adv.integration.layout import torchreid_module

    return digest(np.array(vars(torchreid_module("utils"))["read_image"](path)))


def read_as_nobody(path):
    import os

    os.seteuid(65534)
    try:
        return read(path)
    finally:
        os.seteuid(0)


def load_market(root):
    """Load a data set and check all of its images: how many there are."""
    from torchreid_adv.data.datasets import load_dataset
    from torchreid_adv.data.loading import check_images
    from torchreid_adv.errors import DataError

    data = load_dataset("market1501", root=root)
    bad, _ = check_images(data.query)
    if bad:
        raise DataError("; ".join(bad.values()))
    return [record.path.name for record in data.query]


def load_checkpoint(path):
    """Load weights into the model that they are for: a name for its tensors afterwards."""
    from fuzz.checkpoints import make_model, state_digest
    from torchreid_adv.integration.checkpoints import load_weights

    model = make_model()
    load_weights(model, path)
    return state_digest(model.state_dict())


def serve(pipe):
    import torchreid_adv
    from torchreid_adv.errors import AdvError

    torchreid_adv.install()
    pipe.send("ready")
    before = peak_memory()  # what a fork has of its parent is no reading's
    while job := pipe.recv():
        function, argument = job
        try:
            outcome, answer = "accepted", function(argument)
        except AdvError as error:
            outcome, answer = f"refused ({error.exit_code})", str(error)
        except BaseException:
            outcome, answer = "traceback", traceback.format_exc()
        pipe.send((outcome, answer, peak_memory() - before))


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Child:
    """Runs functions one after another; started again after a hang or a crash."""

    def __init__(self):
        self.process = None

    def run(self, function, argument, *, patience=PATIENCE):
        """Return (outcome, answer, MB of memory at the peak beyond what the process began with)."""
        if self.process is None or not self.process.is_alive():
            self._start()
        self.pipe.send((function, argument))
        try:
            if self.pipe.poll(patience):
                return self.pipe.recv()
        except EOFError:
            self.stop()
            return "crash", "", 0
        self.stop()
        return "hang", "", 0

    def _start(self):
        context = multiprocessing.get_context("fork")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        assert self.pipe.poll(120)  # imports take a while, and are nobody's hang
        assert self.pipe.recv() == "ready"

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def write(path, content):
    """Write bytes and return the path."""
    Path(path).write_bytes(content)
    return Path(path)
