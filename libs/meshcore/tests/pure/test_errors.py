from meshcore.errors import ADMISSION_REASON, GRPC_STATUS, HTTP_STATUS, ErrorCode, MeshError, Violation


def test_every_code_is_mapped_at_every_edge():
    for table in (HTTP_STATUS, GRPC_STATUS, ADMISSION_REASON):
        assert set(table) == set(ErrorCode)


def test_a_violation_says_where_what_and_what_would_be_right():
    violation = Violation("spec.http[0].weight", "is -1", "0 to 100", "a.yaml", 7)
    assert str(violation) == "a.yaml:7: spec.http[0].weight: is -1 (expected 0 to 100)"


def test_an_error_lists_all_of_its_violations():
    error = MeshError(ErrorCode.INVALID, "not valid", [Violation("a", "x"), Violation("b", "y")])
    assert str(error) == "not valid: a: x; b: y"
