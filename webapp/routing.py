"""One table of routes: what it registers is what OpenAPI documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import Flask, Response
from pydantic import BaseModel

from storage.access import Scope

JSON_BODY = ("application/json",)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API.

    Parameters
    ----------
    method, path : str
        The path in OpenAPI's notation, ``/api/v1/runs/{run_id}``.
    handler : callable
        Takes the path's parameters, returns the response.
    summary : str
        One line.
    tag : str
        Group in the documentation.
    answer : type of BaseModel or str, optional
        Shape of a success, or its media type where it is not JSON; None has no body.
    status : int
        Of a success.
    also : tuple of (int, str)
        Further successful statuses and what they mean; their shape is `answer`.
    others : tuple of (int, type of BaseModel, str)
        Further successful statuses whose shape is another, and what they mean.
    body : type of BaseModel, optional
        Shape of the request's body.
    body_types : tuple of str
        Media types in which the body may come.
    query : type of BaseModel, optional
        Parameters of the query string.
    headers : tuple of (str, str)
        Request headers that matter, with a description.
    refusals : tuple of int
        Statuses of problem documents beyond those every operation may answer.
    needs : {"read", "submit", "admin"}, optional
        Scope that a token needs, where it is not the one of its method; see `scope`.
    """

    method: str
    path: str
    handler: Callable[..., Response]
    summary: str
    tag: str
    answer: type[BaseModel] | str | None = None
    status: int = 200
    also: tuple[tuple[int, str], ...] = ()
    others: tuple[tuple[int, type[BaseModel], str], ...] = ()
    body: type[BaseModel] | None = None
    body_types: tuple[str, ...] = JSON_BODY
    query: type[BaseModel] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    refusals: tuple[int, ...] = ()
    needs: Scope | None = None

    @property
    def scope(self) -> Scope:
        """What a token must be allowed: reading is read, deleting is admin, the rest submit."""
        defaults: dict[str, Scope] = {"GET": "read", "DELETE": "admin"}
        return self.needs or defaults.get(self.method, "submit")

    @property
    def endpoint(self) -> str:
        """Name of the operation, unique, for `url_for`, metrics and ``operationId``."""
        words = re.findall(r"\w+", self.path.removeprefix("/api/").removeprefix("v1/"))
        return "_".join([self.method.lower(), *words])

    @property
    def flask_rule(self) -> str:
        """The path in Flask's notation."""
        return self.path.replace("{", "<").replace("}", ">")


def add_routes(app: Flask, routes: Iterable[Route]) -> None:
    """Register `routes` with `app`."""
    for route in routes:
        app.add_url_rule(route.flask_rule, route.endpoint, route.handler, methods=[route.method])
