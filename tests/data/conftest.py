import pytest

from torchreid_adv import config


@pytest.fixture
def own_config():
    """A config of the test's own, which is the current one."""
    cfg = config.add_adv_config(config.AdvConfig())
    with config.using(cfg):
        yield cfg
    config.forget()
