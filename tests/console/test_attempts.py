from console.attempts import FAILURES, SignInAttempts


def test_an_address_may_fail_a_few_times() -> None:
    attempts = SignInAttempts()
    for _ in range(FAILURES):
        assert attempts.are_left("192.0.2.1")
        attempts.note_failure("192.0.2.1")
    assert not attempts.are_left("192.0.2.1")
    assert attempts.are_left("192.0.2.2")
