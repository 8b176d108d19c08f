"""Plans trips: a tool that asks and reports its progress, a resource, a prompt.

The classes `Tools`, `Resources` and `Prompts` are what the world exports; the module `wit_world` is made from it.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import prompts, resources, tools
from wit_world.imports import ask, context, types

CITIES = {
    "Porto": ["the Ribeira", "the Clérigos tower", "the Serralves garden", "the wine cellars"],
    "Ghent": ["the Gravensteen", "the Graslei", "the Saint Bavo altarpiece", "the botanical garden"],
    "Kyoto": ["the Nishiki market", "the Fushimi gates", "the philosopher's path", "the moss garden"],
}
CITIES_URI = "trips://cities"
PACE = {
    "type": "object",
    "properties": {"pace": {"type": "string", "enum": ["gentle", "brisk"], "default": "gentle"}},
    "required": ["pace"],
}


class Tools(exports.Tools):
    def list_tools(self):
        schema = {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": sorted(CITIES)},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "days"],
        }
        plan = tools.Tool(
            name="plan_trip",
            title="Plan a trip",
            description="Plans a stay in a city, at the pace that the traveller chooses",
            input_schema=json.dumps(schema),
            output_schema=None,
            annotations=tools.ToolAnnotations(
                title=None, read_only=True, destructive=False, idempotent=True, open_world=False
            ),
            icons=[],
            task_support=tools.TaskSupport.FORBIDDEN,
            meta=None,
        )
        return tools.ToolList(tools=[plan], hints=types.CacheHints(60_000, types.CacheScope.PUBLIC))

    def call_tool(self, name, arguments):
        if name != "plan_trip":
            raise Err(types.Error_NotFound(name))
        arguments = json.loads(arguments)
        city, days = arguments.get("city"), arguments.get("days")
        if city not in CITIES or not isinstance(days, int):
            raise Err(types.Error_InvalidParams(f"`city` is one of {', '.join(CITIES)}, `days` a number"))
        pace = ask_for_pace(city)
        if pace is None:
            return said(f"No trip to {city}: the traveller did not choose a pace", is_error=True)
        lines = []
        for day in range(1, days + 1):
            lines.append(f"Day {day}: {' and '.join(sights_of(city, day, pace))}")
            context.progress(day, days, f"Day {day} is planned")
        return said("\n".join(lines))


def ask_for_pace(city):
    form = ask.Form(message=f"How do you like to see {city}?", requested_schema=json.dumps(PACE))
    answer = ask.ask([ask.KeyedQuestion(key="pace", question=ask.Question_ElicitForm(form))])[0]
    if not isinstance(answer, ask.Answer_Elicited) or answer.value.action != ask.Action.ACCEPT:
        return None
    return json.loads(answer.value.content or "{}").get("pace", "gentle")


def sights_of(city, day, pace):
    count = 2 if pace == "brisk" else 1
    sights = CITIES[city]
    return [sights[(count * (day - 1) + index) % len(sights)] for index in range(count)]


class Resources(exports.Resources):
    def list_resources(self):
        cities = types.ResourceInfo(
            uri=CITIES_URI,
            name="Cities",
            title=None,
            description="The cities that can be planned, with what there is to see",
            mime_type="application/json",
            size=None,
            annotations=None,
            icons=[],
            meta=None,
        )
        return resources.ResourceList(resources=[cities], templates=[], hints=None)

    def read_resource(self, uri):
        if uri != CITIES_URI:
            raise Err(types.Error_NotFound(uri))
        body = types.ResourceBody_Text(json.dumps(CITIES, ensure_ascii=False))
        contents = types.ResourceContents(uri=uri, mime_type="application/json", body=body, meta=None)
        return resources.ReadResult(contents=[contents], hints=None)

    def subscribe(self, uri):
        raise Err(types.Error_InvalidParams(f"{uri} never changes"))


class Prompts(exports.Prompts):
    def list_prompts(self):
        city = prompts.PromptArgument(name="city", title=None, description="Where to", required=True)
        postcard = prompts.Prompt(
            name="postcard",
            title="Write a postcard",
            description="Has a postcard written from a city",
            arguments=[city],
            icons=[],
            meta=None,
        )
        return prompts.PromptList(prompts=[postcard], hints=None)

    def get_prompt(self, name, arguments):
        if name != "postcard":
            raise Err(types.Error_NotFound(name))
        city = dict(arguments).get("city")
        if city is None:
            raise Err(types.Error_InvalidParams("`city` is missing"))
        message = prompts.PromptMessage(
            role=types.Role.USER, content=text(f"Write a postcard from {city}, three sentences, no exclamation marks.")
        )
        return prompts.PromptResult(description=None, messages=[message])


def text(words):
    return types.Content(block=types.ContentBlock_Text(words), annotations=None, meta=None)


def said(words, is_error=False):
    return tools.ToolResult(content=[text(words)], structured_content=None, is_error=is_error, meta=None)
