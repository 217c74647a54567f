"""Somebody on the way who copies UDP packets and sends the copies from another address.

  attacker.py SEE-NETNS DEVICE SEND-NETNS FROM TO PORT once|race

Sees what leaves by DEVICE in one namespace, to port PORT, and sends it from the address FROM to TO in another,
at once: before the original, if that still has a link before it. `once`: one packet, when a line
comes on standard input; `race`: each. Prints `copied BYTES` (of IP packets) after each that it was told to copy, in a
race once a second.
"""
import ctypes, os, select, socket, struct, sys, time

see, device, send_from, source, target, port, how = sys.argv[1:8]
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3


def enter(netns):
    with open(netns) as f:
        if libc.setns(f.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), netns)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def spoofed(packet):
    """The packet from another address; the checksum of UDP may be left out in IPv4."""
    head = (packet[0] & 15) * 4
    ip = bytearray(packet[:head])
    ip[10:12], ip[12:16], ip[16:20] = b"\0\0", socket.inet_aton(source), socket.inet_aton(target)
    ip[10:12] = struct.pack(">H", checksum(bytes(ip)))
    udp = bytearray(packet[head:])
    udp[6:8] = b"\0\0"
    return bytes(ip + udp)


enter(see)
seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
seen.bind((device, 0))
enter(send_from)
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
print("watching", flush=True)

wanted, copied, told = how == "race", 0, time.time()
while True:
    ready, _, _ = select.select([seen, 0], [], [], 1)
    if 0 in ready:
        line = os.read(0, 4096)
        if not line:
            break
        wanted = True
    if seen in ready:
        packet, address = seen.recvfrom(65535)
        head = (packet[0] & 15) * 4
        if address[2] != socket.PACKET_OUTGOING or packet[9] != 17:
            continue
        if struct.unpack(">H", packet[head + 2:head + 4])[0] != int(port) or not wanted:
            continue
        copy = spoofed(packet)
        out.sendto(copy, (target, 0))
        copied += len(copy)
        if how == "once":
            wanted = False
            print("copied", copied, flush=True)
    if how == "race" and time.time() - told > 1:
        told = time.time()
        print("copied", copied, flush=True)
