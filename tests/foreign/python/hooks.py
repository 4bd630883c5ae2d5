"""What schemathesis must know of this server: integers are written as digits, so that `1.0` is none.

JSON Schema takes a number without a fraction for an integer however it is written; serde, which reads the arguments, does not.
"""

import schemathesis


def holds_whole_float(value):
    if isinstance(value, dict):
        return any(map(holds_whole_float, value.values()))
    if isinstance(value, list):
        return any(map(holds_whole_float, value))
    return isinstance(value, float) and value.is_integer()


@schemathesis.hook
def filter_body(context, body):
    return not holds_whole_float(body)
