"""What a server asks and says between calls may be longer than a message
between two processes of omni2."""
import json
import queue

from harness import check, same
import m07_heard as heard
from s01_streams import get

SAMPLING = {"sampling": {}}
SIZE = 900000           # the listener takes 1 MiB


class Setting(heard.Setting):
    def sample(self, session, number, size):
        self.asker.answers[f"{session}/{number}"] = queue.Queue()
        return self.asker.say(session, {
            "jsonrpc": "2.0", "id": f"{session}/{number}",
            "method": "sampling/createMessage", "params": {
                "maxTokens": 1, "messages": [{"role": "user", "content": {
                    "type": "text", "text": "x" * size}}]}})


def setup(env):
    return Setting(env)


def text_asked(question):
    return question["params"]["messages"][0]["content"]["text"]


def test_a_large_question(_env, it):
    clients = [it.open(capabilities=SAMPLING) for _ in range(2)]
    with get(clients[0]) as s, get(clients[1]) as other:
        session = heard.text_of(clients[0].call("asker__whoami").message)
        heard.text_of(clients[1].call("asker__whoami").message)
        for size in (60000, 70000, SIZE, 10):
            check(it.sample(session, size, size), "nobody hears it")
            q = s.next(what=f"question of {size} bytes")
            same((q["method"], text_asked(q)),
                 ("sampling/createMessage", "x" * size), "the question")
            reply = {"role": "assistant", "model": "m", "content": {
                "type": "text", "text": str(size)}}
            same(clients[0].send(json.dumps({
                "jsonrpc": "2.0", "id": q["id"], "result": reply}).encode(),
                clients[0].headers()).status, 202, "the answer is taken")
            same(it.asker.answer_to(session, size)["result"], reply, "answer")
        # what is said takes the same way
        it.asker.say(session, {
            "jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "error", "data": "y" * SIZE}})
        same(s.next(what="message")["params"]["data"], "y" * SIZE, "a message")
        same((s.quiet(0.2), other.quiet(0.1)), ([], []), "nothing else")


def test_several_at_once(_env, it):
    """More than the client has read yet: it is not taken for a slow one as
    long as it reads."""
    c = it.open(capabilities=SAMPLING)
    with get(c) as s:
        session = heard.text_of(c.call("asker__whoami").message)
        for n in range(5):
            check(it.sample(session, n, 100000 + n), "nobody hears it")
        same([len(text_asked(s.next(what="question"))) for _ in range(5)],
             [100000 + n for n in range(5)], "questions in order")
