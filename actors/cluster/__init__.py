"""The cluster: actors in several processes, over sockets. Shells of trio around `protocol.connection`.

host.py      actors in a process: inboxes, batches, group commit, restart
store.py     an actor's journal in SQLite
server.py    listeners and the server's ends of connections
endpoint.py  where a server listens: "unix:PATH", "tcp:HOST:PORT"; who may connect
link.py      the client's end of one connection, which is made again when it breaks
world.py     the world of clients whose servers are elsewhere
"""
