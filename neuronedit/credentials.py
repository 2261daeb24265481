"""Credentials in URIs, hidden from everything that is shown or stored."""

import re

_USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s/?#'\"@]*:[^\s?#'\"]*@")
_SECRET_SETTING = re.compile(
    r"(?i)(?<=[?&])([\w.-]*(?:access_?key|secret|_key|token|password|credentials?|sig|signature)[\w.-]*=)[^\s&#'\"]+"
)


def masked(text: str) -> str:
    """Replace the credentials of every URI in a text by ``***``.

    They are user and password before the ``@`` (``s3://key:secret@bucket``), and settings whose names say that they are
    secret (``?sas_token=…``). A password may hold a slash, as AWS's own do, although a URI must not.

    Example:
        >>> masked("s3://key:secret@bucket/cells")
        's3://***@bucket/cells'
    """
    return _SECRET_SETTING.sub(r"\1***", _USER_AND_PASSWORD.sub("***@", text))
