"""What depends on the requests before and so cannot stand in the API's description."""

import re
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    """A good Idempotency-Key is used once: used again with another body it is refused."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]([ -~]{0,200}[!-~])?", key):
        case.headers["Idempotency-Key"] = key + str(uuid.uuid4())
