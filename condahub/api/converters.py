"""What stands in the API's paths: text without slashes and control characters, and numbers that a column can hold."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import StringConverter


class TextConverter(StringConverter):
    regex = r"[^/\x00-\x1f\x7f]{1,255}"


class NumberConverter:
    regex = r"[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(TextConverter, "text")
register_converter(NumberConverter, "number")
