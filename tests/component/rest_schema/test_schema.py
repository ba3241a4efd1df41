"""The running service against its own document: requests nobody thought of, and no undocumented answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shop_order.domain.valueobject.parties import Role
from shop_order.gateway.payment import notice_routes
from shop_order.web.http import describe
from tests.component.rest_schema.running import GOOD, Good, Running, form

pytestmark = pytest.mark.engine("sqlite", "memory", "embedded")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT = describe(notice_routes())
schema = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = sorted(found["operationId"] for path in DOCUMENT["paths"].values() for found in path.values())
FORM = "application/x-www-form-urlencoded"

Reached = dict[str, set[int]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service, for all operations together."""
    with Running(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that stay open."""
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.fixture(scope="module")
def reached() -> Reached:
    """The statuses each operation has answered."""
    return defaultdict(set)


@pytest.fixture(scope="module")
def fits() -> dict[str, Good]:
    """Real ids for each operation, so that generated requests come past the first look-up."""
    return {}


FEW, MANY = (
    settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    for examples in (6, 40)
)


@schema.parametrize()
@FEW
def test_every_answer_is_a_documented_one(
    case: schemathesis.Case[Any],
    running: Running,
    session: requests.Session,
    reached: Reached,
    fits: dict[str, Good],
) -> None:
    assert_that_answers_are_documented(case, running, session, reached, fits)


@pytest.mark.long
@schema.parametrize()
@MANY
def test_so_are_the_answers_to_many_more_requests(
    case: schemathesis.Case[Any],
    running: Running,
    session: requests.Session,
    reached: Reached,
    fits: dict[str, Good],
) -> None:
    assert_that_answers_are_documented(case, running, session, reached, fits)


def assert_that_answers_are_documented(
    case: schemathesis.Case[Any],
    running: Running,
    session: requests.Session,
    reached: Reached,
    fits: dict[str, Good],
) -> None:
    """Send the case as a buyer and as an operator, and once more with ids that exist."""
    for role in (Role.USER, Role.ADMIN):
        ask(case, running, session, reached, running.headers(role))
    operation_id = id_of(case)
    if operation_id not in fits:
        fits[operation_id] = running.good(operation_id)
    good = fits[operation_id]
    case.path_parameters = dict(good.path)
    if isinstance(case.body, dict) and isinstance(good.body, dict):
        case.body = {**case.body, **good.body}
    ask(case, running, session, reached, running.headers(good.role))


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_a_good_request_succeeds_as_documented(
    operation_id: str, running: Running, session: requests.Session, reached: Reached
) -> None:
    good = running.good(operation_id)
    operation = schema.find_operation_by_id(operation_id)
    more: dict[str, Any] = {}
    if good.body is not None and "requestBody" in operation.definition.raw:
        media_type = next(iter(operation.definition.raw["requestBody"]["content"]))
        more = {"body": form(good.body) if media_type == FORM else good.body, "media_type": media_type}
    case = operation.Case(path_parameters=dict(good.path), query=dict(good.query), **more)
    ask(case, running, session, reached, running.headers(good.role) | dict(good.headers))
    assert any(status < 400 for status in reached[operation_id])


def ask(
    case: schemathesis.Case[Any],
    running: Running,
    session: requests.Session,
    reached: Reached,
    headers: dict[str, str],
) -> None:
    """Send the case and hold the answer against the document."""
    answer = case.call(
        base_url=running.shop.url, session=session, headers=headers, allow_redirects=False, timeout=20
    )
    reached[id_of(case)].add(answer.status_code)
    case.validate_response(answer, checks=CHECKS)


def id_of(case: schemathesis.Case[Any]) -> str:
    """The operation's id in the document."""
    return str(case.operation.definition.raw["operationId"])


def test_every_operation_was_reached_and_succeeded(reached: Reached) -> None:
    assert sorted(GOOD) == OPERATIONS, "an operation without a good request"
    assert sorted(reached) == OPERATIONS
    assert {name: statuses for name, statuses in reached.items() if min(statuses) >= 400} == {}
    assert not any(status >= 500 for statuses in reached.values() for status in statuses)
