"""mosh-client in a terminal whose screen is read: `mosh.py PORT` with $MOSH_KEY set.

Lines on standard input: `talk MS` types a key every so many ms, `hush` stops that, `say` types one key.
Prints `typed AT` for `say`, and `shows TEXT AT` whenever row 5 of the screen has become another
text; times in ms of the machine's clock. Needs python3-pyte. mosh's own notices are on row 1.
"""
import fcntl, os, pty, select, struct, sys, termios, time
import pyte

screen = pyte.Screen(80, 24)
stream = pyte.ByteStream(screen)
pid, terminal = pty.fork()
if not pid:
    os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "MOSH_PREDICTION_DISPLAY": "never"})
    os.execvp("mosh-client", ["mosh-client", "10.77.0.1", sys.argv[1]])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))


def key():
    os.write(terminal, b"x")
    return time.time()


last, typing, due, lines = "", 0, 0, b""
while True:
    wait = max(0, due - time.time()) if typing else 1
    ready, _, _ = select.select([0, terminal], [], [], wait)
    if typing and time.time() >= due:
        due = max(due, time.time() - 1) + typing
        key()
    if terminal in ready:
        try:
            stream.feed(os.read(terminal, 65536))
        except OSError:
            break
        text = screen.display[4].strip()
        if text and text != last:
            last = text
            print("shows", text.split()[0], time.time() * 1000, flush=True)
    if 0 in ready:
        data = os.read(0, 4096)
        if not data:
            break
        *whole, lines = (lines + data).split(b"\n")
        for line in whole:
            words = line.split()
            if words[0] == b"say":
                print("typed", key() * 1000, flush=True)
            typing, due = (float(words[1]) / 1000, time.time()) if words[0] == b"talk" else (0, 0)
os.kill(pid, 9)
