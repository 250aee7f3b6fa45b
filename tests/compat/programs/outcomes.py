"""Runs the cases of a program and prints ``{case: null or traceback}`` as its last line."""

import inspect
import json
import traceback


async def run_cases_async(namespace, connect):
    """Run each ``case_*`` of a namespace with a client of its own."""
    outcome = {}
    for name, case in list(namespace.items()):
        if name.startswith("case_"):
            client = connect()
            outcome[name] = await _outcome(case, client)
            closing = client.close()
            if inspect.isawaitable(closing):
                await closing
    print(json.dumps(outcome))


async def _outcome(case, client):
    try:
        pending = case(client)
        if inspect.isawaitable(pending):
            await pending
    except BaseException:  # noqa: BLE001  whatever it was, it is the outcome of this case
        return traceback.format_exc()
    return None
