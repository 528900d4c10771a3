"""What the measuring scripts in Python share: real binaries on loopback, their CPU and memory, and comparisons in turns."""
import atexit, base64, contextlib, json, os, secrets, shutil, signal, socket, statistics, subprocess, sys, time, urllib.request

top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
posenode = os.environ.get("POSENODE", top + "/build/release/bin/posenode")
HZ = os.sysconf("SC_CLK_TCK")


def need(tool, how):
    found = tool if os.path.exists(tool) else shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if not found:
        sys.exit(f"bench: {tool} is missing: {how}")
    return found


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ask(url, headers, data=None, method=None):
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.loads(answer.read() or b"null")


# --- processes ---

running = []


def start(arguments, log, env=None):
    with open(log, "wb") as out:
        running.append(subprocess.Popen(arguments, stdout=out, stderr=out, env=env))
    return running[-1]


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@atexit.register
def stop_all():
    while running:
        stop(running.pop())


def cpu(pid):
    """User and system seconds of a process and of its children."""
    total = 0.0
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
        total = (int(fields[11]) + int(fields[12])) / HZ
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{pid}/children") as children:
        total += sum(cpu(child) for child in children.read().split())
    return total


def peak_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


class Measured:
    def __init__(self, seconds, client, server):
        self.seconds, self.client, self.server = seconds, client, server


def timed(arguments, server, env=None):
    """A command from its start to its end; CPU of its process and children, and of the server meanwhile."""
    before, began = cpu(server), time.monotonic()
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"bench: {' '.join(arguments)[:300]}: exit {process.returncode}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, cpu(server) - before)


def events(path, name):
    with contextlib.suppress(FileNotFoundError), open(path) as log:
        for line in log:
            if name in line and line.startswith("{"):
                with contextlib.suppress(json.JSONDecodeError):
                    event = json.loads(line)
                    if event.get("event") == name:
                        yield event


# --- a market, and nodes ---

class Market:
    """Signed in as its first app: `bearer` and `headers` are for curl and ask(). `through` starts what stands before it at public_url."""

    def __init__(self, folder, public_url=None, through=None):
        os.makedirs(folder)
        self.folder, self.port, self.log = folder, free_port(), folder + "/market.log"
        base = {"PATH": os.environ["PATH"], "HOME": folder}
        public = ["--public-url", public_url] if public_url else []
        self.process = start([posenode, "market", "--listen", f"127.0.0.1:{self.port}", "--data", folder + "/data",
                              "--write-env", folder + "/env", *public], self.log, {**base, "LOG_LEVEL": "debug"})
        self.pid = self.process.pid
        self.wait_for(f"http://127.0.0.1:{self.port}/health")
        self.through = through(self) if through else None
        with open(folder + "/env") as f:
            settings = dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line and not line.startswith("#"))
        self.env = {**base, **settings}
        url = public_url or f"http://127.0.0.1:{self.port}"
        self.data = f"{url}/api/v1/domains/{settings['DOMAIN_ID']}/data"
        self.wait_for(url + "/health")
        self.sign_in()

    def wait_for(self, url):
        for _ in range(200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url, timeout=1).close()
                return
            time.sleep(0.05)
        sys.exit(f"bench: nothing answers at {url}: see {self.log}")

    def sign_in(self):
        pair = base64.b64encode(f"{self.env['APP_KEY']}:{self.env['APP_SECRET']}".encode()).decode()
        app = ask(self.env["API_BASE_URL"] + "/service/domains-access-token", {"Authorization": "Basic " + pair}, b"")
        grant = ask(f"{self.env['DDS_BASE_URL']}/api/v1/domains/{self.env['DOMAIN_ID']}/auth",
                    {"Authorization": "Bearer " + app["access_token"]}, b"")
        self.bearer = "Authorization: Bearer " + grant["access_token"]
        self.headers = {"Authorization": "Bearer " + grant["access_token"], "Content-Type": "application/json",
                        "Accept": "application/json"}

    def run(self, *arguments):
        done = subprocess.run([posenode, *arguments, "--json"], env=self.env, stdout=subprocess.PIPE)
        if done.returncode != 0:
            sys.exit(f"bench: posenode {' '.join(arguments)[:300]}: exit {done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])

    def items(self, query):
        return ask(f"{self.data}?{query}", self.headers)["data"]

    def remove(self, ids):
        for item in ids:
            ask(f"{self.data}/{item}", self.headers, method="DELETE")

    def stop(self):
        for process in filter(None, [self.process, self.through]):
            stop(process)
        shutil.rmtree(self.folder)


class Node:
    """A node that offers noop under a capability of its own, so that several can wait beside each other; its workspaces in `work`."""

    def __init__(self, market, work, **settings):
        name = "node-" + secrets.token_hex(3)
        self.market, self.work, self.log = market, f"{work}/{name}", f"{market.folder}/{name}.log"
        self.capability = f"/bench/{name}/v1"
        self.process = start([posenode, "run"], self.log, {
            **market.env, "SECP256K1_PRIVHEX": secrets.token_hex(32), "STATE_DIR": f"{market.folder}/{name}",
            "WORK_DIR": self.work, "STATUS_ADDR": f"127.0.0.1:{free_port()}", "ENABLE_NOOP": "true", "NOOP_SLEEP_SECS": "0",
            "NOOP_CAPABILITIES": self.capability, "SFM_COLMAP": "/nonexistent", "DISK_MIN_FREE_MB": "0",
            "DISK_MAX_USED_PCT": "100", "INODE_MAX_USED_PCT": "100", **settings})
        self.pid = self.process.pid
        self.task()  # signed in, and warm

    def task(self, inputs=(), meta=None, meanwhile=lambda: None):
        """Runs one task to its end; answers how many seconds the node had it."""
        path, done = self.market.folder + "/spec.json", len(list(events(self.log, "task.completed")))
        with open(path, "w") as f:
            json.dump({"label": "bench", "domain_id": self.market.env["DOMAIN_ID"], "edges": [], "tasks": [
                {"label": "bench", "stage": "bench", "capability": self.capability, "max_attempts": 1,
                 "inputs_cids": list(inputs), "meta": meta or {}}]}, f)
        self.market.run("job", "submit", path)
        for _ in range(60_000):
            meanwhile()
            completed = list(events(self.log, "task.completed"))
            if len(completed) > done:
                return completed[-1]["took_ms"] / 1000
            if next(events(self.log, "task.failed"), None) or self.process.poll() is not None:
                break
            time.sleep(0.01)
        with open(self.log) as log:
            sys.exit(f"bench: the task did not complete:\n{log.read()[-2000:]}")

    def stop(self):
        stop(self.process)
        shutil.rmtree(self.work, ignore_errors=True)


# --- comparing ---

def compare(title, amount, unit, rounds, contestants, before):
    """contestants: name -> function that plays once and answers a Measured; the first is ours. `before` is not timed."""
    plays = {name: [] for name in contestants}
    for turn in range(rounds):
        order = list(contestants.items())
        for name, play in order if turn % 2 == 0 else reversed(order):
            before()
            plays[name].append(play())
    print(f"\n{title}")
    ours, middle = next(iter(plays.values())), statistics.median
    for name, theirs in plays.items():
        line = f"  {name:36s} {amount / middle(m.seconds for m in theirs):9.2f} {unit}/s"
        line += f"   CPU s/{unit}: client {middle(m.client for m in theirs) / amount:7.4f}"
        line += f" server {middle(m.server for m in theirs) / amount:7.4f}"
        if theirs is not ours:
            line += f"   ours is {middle(b.seconds / a.seconds for a, b in zip(ours, theirs)):5.2f} of its speed"
        print(line, flush=True)
