"""Guards for ``langchain.agents.create_agent``; needs the extra ``agents``.

``guard.wrap(model)`` and `scope_tools` already protect an agent, in every stream mode. `GuardMiddleware` is for what
they do not reach: what the user wrote, before it is acted on; what tools answer, before the model, the state or a
listener gets it; models that another middleware chooses; and limits that count runs of the agent instead of calls of
its model.
"""

from langchain_guard.agents.middleware import GuardMiddleware
from langchain_guard.agents.tally import RunLimits

__all__ = ["GuardMiddleware", "RunLimits"]
