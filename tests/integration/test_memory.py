import sys
import threading

import pytest

from torchreid_adv.integration.console import limited_memory

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bounds are set on Linux only")


def limit():
    return resource.getrlimit(resource.RLIMIT_AS)


def test_more_than_the_bound_is_refused_and_less_is_not():
    with pytest.raises(MemoryError), limited_memory(2**28):
        bytearray(2**29)
    with limited_memory(2**29):
        bytearray(2**28)
    assert len(bytearray(2**29)) == 2**29


def test_the_old_limit_is_back_also_after_an_error():
    before = limit()
    with limited_memory(2**30):
        inside = limit()
        with limited_memory(2**40):
            assert limit() == inside  # never above what was there
    assert inside[0] != before[0]
    with pytest.raises(KeyError), limited_memory(2**30):
        raise KeyError
    assert limit() == before


def test_threads_do_not_keep_each_others_limit():
    before = limit()

    def work():
        for _ in range(50):
            with limited_memory(2**31):
                bytes(1000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit() == before
