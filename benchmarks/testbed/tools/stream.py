"""A transfer over one TCP connection whose arrivals are logged; it knows nothing of Roving.

  stream.py receive PORT bulk|messages [mptcp]
  stream.py send HOST PORT SECONDS MESSAGES-PER-SECOND [mptcp]

`send` writes as fast as the connection takes it, or so many messages of 100 bytes a second (0: as
fast as it goes), and then ends. Both print what they saw as one line of JSON, with a hash of all bytes. The
receiver accepts one connection, after `listening`. Times are in ms of the machine's clock; each
message begins with the time when it was written. In Python, since Node opens no MPTCP sockets.
"""
import hashlib, json, os, socket, struct, sys, time

IPPROTO_MPTCP = 262
MESSAGE_BYTES = 100
CHUNK_BYTES = 16384
GAP_MS = 20             # pauses from here on are logged
BIN_MS = 100            # a bin of the log of arrivals
SILENCE_S = 150         # a connection in silence for so long is given up: what was tried has failed


def now():
    return time.time() * 1000


def make():
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP if "mptcp" in sys.argv else 0)


def receive(port, kind):
    listener = make()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen()
    print("listening", flush=True)
    s, _ = listener.accept()
    s.settimeout(SILENCE_S)
    digest, gaps, bins, messages, rest = hashlib.sha256(), [], {}, [], b""
    count, first, last, error, whole = 0, 0, 0, "", False
    try:
        while data := s.recv(1 << 18):
            at = now()
            if first and at - last >= GAP_MS:
                gaps.append([last, at - last])
            first, last = first or at, at
            count += len(data)
            digest.update(data)
            bins[int(at / BIN_MS)] = bins.get(int(at / BIN_MS), 0) + len(data)
            if kind == "messages":
                rest += data
                while len(rest) >= MESSAGE_BYTES:
                    messages.append([struct.unpack(">d", rest[:8])[0], at])
                    rest = rest[MESSAGE_BYTES:]
        whole = True
    except OSError as e:
        error = str(e)
    s.close()
    print(json.dumps({"bytes": count, "sha256": digest.hexdigest(), "isWhole": whole, "error": error, "firstMs": first,
                      "lastMs": last, "gaps": gaps, "bins": sorted(bins.items()), "messages": messages}))


def send(host, port, seconds, rate):
    s = make()
    error, sent, digest = "", 0, hashlib.sha256()
    block = os.urandom((MESSAGE_BYTES if rate else CHUNK_BYTES) - 8)
    s.connect((host, port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(SILENCE_S)
    start = now()
    try:
        while (spent := (now() - start) / 1000) < seconds:
            if rate and sent / MESSAGE_BYTES > rate * spent:
                time.sleep(sent / MESSAGE_BYTES / rate - spent)
            data = struct.pack(">d", now()) + block
            s.sendall(data)
            digest.update(data)
            sent += len(data)
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096):     # its end tells that the other side has read all
            pass
    except OSError as e:
        error = str(e)
    print(json.dumps({"sent": sent, "sha256": digest.hexdigest(), "startMs": start, "error": error}))


a = sys.argv[1:]
receive(int(a[1]), a[2]) if a[0] == "receive" else send(a[1], int(a[2]), float(a[3]), float(a[4]))
