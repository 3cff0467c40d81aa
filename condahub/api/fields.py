"""Serializers and fields that take exactly what the schema says: no unknown keys, no numbers for texts."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

MAX_INTEGER = 2**63 - 1


class Text(serializers.CharField):
    """A JSON string; never a number or a boolean that could be read as one. NUL and lone surrogates are refused."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class WholeNumber(serializers.IntegerField):
    """A JSON integer from 0 to what a column holds."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("min_value", 0)
        kwargs.setdefault("max_value", MAX_INTEGER)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class TrueOrFalse(serializers.BooleanField):
    """JSON true or false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class JsonObject(serializers.JSONField):
    """A JSON object whose keys and texts every database can hold."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("An object is expected.")
        if _has_nul(data):
            raise serializers.ValidationError("Null characters are not allowed.")
        return data


class HubSerializer(serializers.Serializer[Any]):
    """A body whose unknown keys are an error, so that a slip of the pen is not silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({str(key)[:60]: ["There is no such field."] for key in unknown[:5]})
        return super().to_internal_value(data)


class Answer(serializers.Serializer[Any]):
    """What the API answers with; never read from."""


def _has_nul(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str) and "\x00" in one:
            return True
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            waiting += one
    return False
