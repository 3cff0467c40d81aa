"""Range and If-Range: RFC 9110 sections 13.1.5 and 14."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.cache import get_conditional_response
from django.utils.http import http_date
from hypothesis import example, given
from hypothesis import strategies as st

from condahub.storage.conditions import ByteRange, Unsatisfiable, failed_condition, parse_range, range_counts

_tags = st.lists(st.sampled_from(['"a"', 'W/"a"', '"b"', "*"]), max_size=3).map(", ".join)
_dates = st.integers(999, 1001).map(http_date) | st.sampled_from(["", "nonsense"])


@given(
    headers=st.fixed_dictionaries(
        {},
        optional={
            "HTTP_IF_MATCH": _tags,
            "HTTP_IF_NONE_MATCH": _tags,
            "HTTP_IF_MODIFIED_SINCE": _dates,
            "HTTP_IF_UNMODIFIED_SINCE": _dates,
        },
    ),
    etag=st.sampled_from(['"a"', 'W/"a"']),
    last_modified=st.none() | st.just(1000),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_conditions_are_judged_as_django_judges_them(headers: dict[str, str], etag: str, last_modified: int | None, method: str) -> None:
    request = RequestFactory().generic(method, "/", **headers)  # type: ignore[arg-type]
    plain = HttpResponse()
    wanted = get_conditional_response(request, etag=etag, last_modified=last_modified, response=plain)
    got = failed_condition(request.META, etag=etag, last_modified=last_modified)
    assert wanted is not None
    assert got == (None if wanted is plain else wanted.status_code)


sizes = st.integers(0, 10**15)


@given(size=sizes, first=sizes, last=st.none() | sizes)
def test_a_range_gives_exactly_the_bytes_that_a_list_would(size: int, first: int, last: int | None) -> None:
    value = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert parse_range(value, size) is None
    elif first >= size:
        with pytest.raises(Unsatisfiable):
            parse_range(value, size)
    else:
        got = parse_range(value, size)
        whole = range(size)[first:] if last is None else range(size)[first : last + 1]
        assert got == ByteRange(whole[0], len(whole))
        assert got.content_range(size) == f"bytes {whole[0]}-{whole[-1]}/{size}"


@given(size=sizes, last=sizes)
@example(size=0, last=5)
def test_a_suffix_gives_the_last_bytes(size: int, last: int) -> None:
    if last == 0:
        with pytest.raises(Unsatisfiable):
            parse_range("bytes=-0", size)
        return
    got = parse_range(f"bytes=-{last}", size)
    assert got == (None if size == 0 else ByteRange(max(0, size - last), min(last, size)))


@given(value=st.text() | st.from_regex(r"(?i)bytes ?= ?[0-9]{0,30} ?- ?[0-9]{0,6000}(,.*)?"), size=sizes)
def test_no_header_is_an_error_or_leaves_the_file(value: str, size: int) -> None:
    try:
        got = parse_range(value, size)
    except Unsatisfiable:
        return
    if got is not None:
        assert got.length > 0
        assert got.start >= 0
        assert got.start + got.length <= size


@pytest.mark.parametrize("value", ["bytes=0-1,3-4", "items=0-1", "bytes=a-b", "bytes=-", "bytes 0-1", "bytes=٣-٤", ""])
def test_what_is_no_single_range_gives_the_whole(value: str) -> None:
    assert parse_range(value, 100) is None


@pytest.mark.parametrize(
    ("if_range", "counts"),
    [
        (None, True),
        ('"abc"', True),
        ('"abd"', False),
        ('W/"abc"', False),
        ("Thu, 01 Jan 1970 00:16:40 GMT", True),
        ("Thu, 01 Jan 1970 00:16:41 GMT", False),
        ("not a date", False),
    ],
)
def test_if_range_counts_for_our_tag_or_our_date_alone(if_range: str | None, counts: bool) -> None:
    assert range_counts(if_range, etag='"abc"', last_modified=1000) is counts


def test_a_weak_tag_never_counts() -> None:
    assert not range_counts('W/"abc"', etag='W/"abc"', last_modified=None)
    assert not range_counts("Thu, 01 Jan 1970 00:16:40 GMT", etag='"abc"', last_modified=None)
