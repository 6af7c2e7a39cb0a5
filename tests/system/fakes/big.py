"""Large results, as a server may write them: shared by m09_*.py and fakes."""
import hashlib


def pieces(size):
    """A result as a server may write it: escapes, UTF-8, odd white space."""
    yield b'{ "content":[{"type":"text","text":"'
    block = "abc\\\"d\\\\ \u00e9\\u00e9\\n{[]}:, 0123456789 ".encode() * 1600
    done = 0
    while done < size:
        yield block
        done += len(block)
    yield b'"}],\n "structuredContent" : {"n": 1.50, "a":[ ]},"isError":false }'


def digest(parts):
    h, n = hashlib.sha256(), 0
    for p in parts:
        h.update(p)
        n += len(p)
    return h.hexdigest(), n


# What stands before and behind the result; the TypeScript SDK 1.x writes it
# first, and what is said of it last may be a lie.
ORDERS = {
    "id first": (b'{"jsonrpc":"2.0","id":%d,"result":', b"}"),
    "result first": (b'{"result":', b' , "jsonrpc":"2.0","id":%d}'),
    "version first": (b'{"jsonrpc":"2.0","result":', b',"id":%d}\n'),
    "another first": (b'{"x":1,"jsonrpc":"2.0","id":%d,"result":', b"}"),
    "bad end": (b'{"jsonrpc":"2.0","id":%d,"result":', b"]"),
    "no id": (b'{"result":', b',"jsonrpc":"2.0"}'),
    "no version": (b'{"result":', b',"id":%d}'),
    "two ids": (b'{"jsonrpc":"2.0","id":%d,"result":', b',"id":1}'),
    "two results": (b'{"result":', b',"jsonrpc":"2.0","id":%d,"result":{}}'),
    "error too": (b'{"result":', b',"jsonrpc":"2.0","id":%d,"error":{}}'),
    "a request": (b'{"result":', b',"jsonrpc":"2.0","id":%d,"method":"x"}'),
    "no JSON": (b'{"result":', b',"jsonrpc":"2.0","id":%d,}'),
    "long end": (b'{"result":', b',"jsonrpc":"2.0","id":%d,"x":"' +
                 b"x" * 200000 + b'"}'),
}


def envelope(message_id, parts, order="id first"):
    before, after = ORDERS[order]
    yield before.replace(b"%d", b"%d" % message_id)
    yield from parts
    yield after.replace(b"%d", b"%d" % message_id)
