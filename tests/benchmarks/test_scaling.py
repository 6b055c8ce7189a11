"""What is checked before the growth of the scoring is timed."""

from scaling import check_bits


def test_no_bit_depends_on_threads_parts_tasks_or_order():
    checked = check_bits()
    assert {"3 threads", "calls of 7 rows", "tasks of 96 rows", "another order"} <= set(checked)
