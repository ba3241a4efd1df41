"""`shop-order token` and `shop-order openapi`: commands that print one thing."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from shop_order.cmd.cli.command import load_settings, refuse
from shop_order.configs import Settings
from shop_order.domain.valueobject.parties import Role

USAGE = "pass --user ID [--role user|admin], or --role service --name NAME [--act-for ID]; ids begin at 1"
MAX_ID = 2**63 - 1


def mint(
    settings: Settings,
    *,
    user: int | None = None,
    role: str = "user",
    name: str | None = None,
    act_for: int | None = None,
) -> str:
    """Return a JWT that this configuration accepts, with its maximum lifetime. Raises ValueError."""
    from shop_order.web.auth.tokens import TokenRules, mint_token

    auth = settings.auth
    if auth.hs256_key is None:
        raise ValueError("there is no development key: tokens come from your identity provider")
    contradicts = user is not None if role == "service" else name is not None or act_for is not None
    if contradicts or any(id is not None and not 0 < id <= MAX_ID for id in (user, act_for)):
        raise ValueError(USAGE)
    subject = name if role == "service" else user and str(user)
    if not subject or role not in ("user", "admin", "service"):
        raise ValueError(USAGE)
    return mint_token(
        auth.hs256_key.get_secret_value(),
        subject=subject,
        role=Role(role),
        act_for=act_for,
        rules=TokenRules(auth.issuer, auth.audience, auth.max_lifetime_s),
    )


def token(
    user: Annotated[int | None, typer.Option(help="The user's id.")] = None,
    role: Annotated[str, typer.Option(help="user, admin or service.")] = "user",
    name: Annotated[str | None, typer.Option(help="The service's name, with --role service.")] = None,
    act_for: Annotated[int | None, typer.Option(help="The user a service acts for.")] = None,
) -> None:
    """Print a JWT for development, signed with the key in the data directory."""
    try:
        minted = mint(load_settings().settings, user=user, role=role, name=name, act_for=act_for)
    except ValueError as bad:
        refuse(str(bad))
    typer.echo(minted)


class Format(StrEnum):
    """The format of the document."""

    JSON = "json"
    YAML = "yaml"
    MD = "md"


def openapi(
    format: Annotated[Format, typer.Option(help="json, yaml or md.")] = Format.JSON,
) -> None:
    """Print the REST document (OpenAPI 3.1), the test clock's route included."""
    typer.echo(text(format), nl=False)


def text(format: Format) -> str:
    """Return the document in this format."""
    from shop_order.gateway.payment import notice_routes
    from shop_order.web.document import as_json, as_markdown, as_yaml
    from shop_order.web.http import describe

    write = {Format.JSON: as_json, Format.YAML: as_yaml, Format.MD: as_markdown}[format]
    return write(describe(notice_routes()))
