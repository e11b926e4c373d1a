"""A replica as a process: prints its port, answers each request after some milliseconds with its name.

python slow_replica.py NAME WAIT_MS [PORT]
"""

import asyncio
import sys


async def main(name: str, wait_s: float, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length: ")]
                await reader.readexactly(int(lengths[0].split()[1]) if lengths else 0)
                await asyncio.sleep(wait_s)
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) / 1000, int(sys.argv[3]) if len(sys.argv) > 3 else 0))
