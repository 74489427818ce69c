"""What is stored of a Secret, and what is published: never its data."""

import base64
from typing import Any

from meshcore.model.cluster import Secret

from galley.core.kind_rules import Document, Naming


def fill_defaults(document: Document) -> Document:
    """As the API server does: a type, and `stringData` as `data`; what is not of the right type is left as it is."""
    filled: dict[str, Any] = {**document, "type": document.get("type") or "Opaque"}
    texts, data = filled.get("stringData"), filled.get("data", {})
    if isinstance(texts, dict) and isinstance(data, dict) and all(isinstance(text, str) for text in texts.values()):
        encoded = {key: base64.b64encode(text.encode(errors="replace")).decode() for key, text in texts.items()}
        filled["data"] = {**data, **encoded}
        del filled["stringData"]
    return filled


def normalize(secret: Secret, _: Naming) -> Secret:
    """Consumers learn its type and the names of its keys; the data goes to those who are allowed it, by another way."""
    return secret.model_copy(update={"data": dict.fromkeys(secret.data, ""), "string_data": {}})
