import asyncio
import threading

from services.generate.bridge import CallbackBridge


async def test_all_items_arrive_in_order_though_the_reader_is_slow() -> None:
    bridge: CallbackBridge[int] = CallbackBridge(capacity=2)

    def produce() -> None:
        for number in range(50):
            assert not bridge.push(number)

    worker = asyncio.get_running_loop().run_in_executor(None, produce)
    assert [item async for item in bridge.drain(worker)] == list(range(50))


async def test_a_full_bridge_holds_the_thread_until_it_is_cancelled() -> None:
    bridge: CallbackBridge[int] = CallbackBridge(capacity=2)
    full = threading.Event()

    def produce() -> int:
        number = 0
        while True:
            if number == 2:
                full.set()
            if bridge.push(number):
                return number
            number += 1

    worker = asyncio.get_running_loop().run_in_executor(None, produce)
    await asyncio.to_thread(full.wait)
    bridge.cancel()
    assert await worker == 2
