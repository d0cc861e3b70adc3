"""What depends on the requests before and so cannot stand in the API's description."""

import re
import uuid

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Whatever it is; what is no line of ours is refused line by line."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Mends what would be refused for what went before."""
    # A good key is used once: used again with another body it is refused.
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]([ -~]{0,200}[!-~])?", key):
        case.headers["Idempotency-Key"] = key + str(uuid.uuid4())
    # It is for one customer.
    if case.media_type == "application/x-ndjson" and case.headers:
        case.headers.pop("Idempotency-Key", None)
    # A cursor belongs to the list it was given for.
    if "updated_since" in (case.query or {}):
        case.query.pop("cursor", None)
