"""Compares how fast two functions are while other programs run beside them."""

import statistics
import time


def race(first, second, seconds: float, block: float = 4e-4) -> dict:
    """Calls two functions in turn for about `seconds`. Returns the median duration of each in microseconds,
    and how many times as fast the second is: the median over pairs of blocks that ran one after the other.
    Blocks are short, so that few of them are interrupted by other programs."""

    def timed(call, count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - began) / count

    calls = [first, second]
    for call in calls:
        timed(call, 5)
    counts = [max(1, round(block / min(timed(call, 5) for _ in range(3)))) for call in calls]
    durations: list[list[float]] = [[], []]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(durations[0]) < 20:
        # The order alternates, so that none always runs on a cache that the other filled.
        for which in (0, 1) if len(durations[0]) % 2 == 0 else (1, 0):
            durations[which].append(timed(calls[which], counts[which]))
    ratios = [a / b for a, b in zip(*durations)]
    medians = [1e6 * statistics.median(all_) for all_ in durations]
    return {"first_us": medians[0], "second_us": medians[1], "times_as_fast": statistics.median(ratios)}
