"""The REST document: OpenAPI 3.1 as JSON, YAML and Markdown, and the pages that render it."""

from shop_order.web.document.build import build_document, route_options
from shop_order.web.document.errors import errors_page
from shop_order.web.document.render import as_json, as_markdown, as_yaml

__all__ = ["as_json", "as_markdown", "as_yaml", "build_document", "errors_page", "route_options"]
