"""Credentials that stand in URIs: to be used, never to be shown or stored."""

import re

_USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s/?#'\"@]*:[^\s?#'\"]*@")
_SECRET_SETTING = re.compile(
    r"(?i)(?<=[?&])([\w.-]*(?:access_?key|secret|_key|token|password|credentials?|sig|signature)[\w.-]*=)[^\s&#'\"]+"
)


def masked(text: str) -> str:
    """The text with the credentials of every URI in it replaced by ``***``.

    They are what stands before the ``@`` where it holds a password (``s3://key:secret@bucket``), and settings whose
    names say so (``?sas_token=…``). A password may hold a slash, as AWS's own do, although a URI must not.
    """
    return _SECRET_SETTING.sub(r"\1***", _USER_AND_PASSWORD.sub("***@", text))
