"""The conformance suite is imported, so pytest must be told to explain its asserts."""

import pytest

pytest.register_assert_rewrite("tests.chains.conformance")
