"""What routes are given: the running controller, and who asks."""

from typing import Annotated

from fastapi import Depends, Request

from suanli.control.wiring import Running


async def _running(request: Request) -> Running:
    return request.app.state.running


async def _actor(request: Request) -> str:
    return request.state.actor


Here = Annotated[Running, Depends(_running)]
Actor = Annotated[str, Depends(_actor)]
