"""A real server in a thread of this process, and a plain client for it."""

import http.client
import json
import socket
import threading
from types import SimpleNamespace


class Client:
    """Asks an application that uvicorn serves on a free port; each request has a connection of its own."""

    def __init__(self, app):
        import uvicorn

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(app, http="h11", loop="asyncio", ws="none", lifespan="off", log_level="critical")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.should_exit = True
        self.thread.join(20)
        self.socket.close()

    def request(self, method, path, *, content=None, headers=None):
        """Status, headers by name in lower case, and text; `content` may come in chunks."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, content, {} if headers is None else headers)
            response = connection.getresponse()
            text = response.read().decode()
            found = {name.lower(): value for name, value in response.getheaders()}
            return SimpleNamespace(status=response.status, headers=found, text=text, json=lambda: json.loads(text))
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, value=None, *, content=None, headers=None):
        """`value` goes as JSON, `content` as it is."""
        content = json.dumps(value).encode() if content is None else content
        headers = {"content-type": "application/json", **(headers or {})}
        return self.request("POST", path, content=content, headers=headers)
