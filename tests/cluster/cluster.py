#!/usr/bin/env python3
"""A real one-node Kubernetes in its own mount, network, pid and IPC namespaces; everything it writes is below STATE.

    cluster.py up STATE --program KUBE [--prefix 10.200] [--control-plane] [--image TAR]...
    cluster.py load STATE TAR...          import images into containerd
    cluster.py run STATE COMMAND...       run a command inside (nsenter), KUBECONFIG set
    cluster.py down STATE [--keep]        end it and remove what it made (all but the files, with --keep)

KUBE is the binary that `program` prints. Without --prefix the first of 10.200 to 10.254 that no route of this machine uses is taken.
With --control-plane there are only etcd, the API server and the controller manager: objects, but no pods.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
import zlib

MOUNTED = {"run": "/run", "lib": "/var/lib", "log": "/var/log"}  # what the programs write at fixed paths lands in STATE
CONTAINERD = "/run/containerd/containerd.sock"
CGROUPS = pathlib.Path("/sys/fs/cgroup")


class Cluster:
    def __init__(self, state):
        self.state = pathlib.Path(os.path.realpath(state))
        self.name = "kube%08x" % zlib.crc32(str(self.state).encode())  # its cgroup and its network device on the host
        try:
            self.use(**json.loads((self.state / "cluster.json").read_text()))
        except FileNotFoundError:
            self.pid = None

    def use(self, **settings):
        self.settings = settings
        vars(self).update(settings)

    # addresses, all inside PREFIX.0.0/16: host end .0.1, node .0.2, pods .1.0/24, services .8.0/21 (2045: a preview has two)
    host = property(lambda self: self.prefix + ".0.1")
    node = property(lambda self: self.prefix + ".0.2")
    pods = property(lambda self: self.prefix + ".1.0/24")
    services = property(lambda self: self.prefix + ".8.0/21")
    first_service = property(lambda self: self.prefix + ".8.1")  # the API server's own

    def path(self, *parts):
        return str(self.state.joinpath(*parts))

    # ---- up -----------------------------------------------------------------------------------------------------
    def up(self, program, prefix, control_plane, images):
        if any(str(self.state).startswith(target + "/") for target in MOUNTED.values()):
            sys.exit("STATE may not be below " + ", ".join(MOUNTED.values()))
        if (self.state / "cluster.json").exists():
            sys.exit(f"{self.state} is in use; run down first")
        begun = time.monotonic()
        for directory in ("pki", "etcd", "cni", "logs", *MOUNTED):
            (self.state / directory).mkdir(parents=True, exist_ok=True)
        self.use(program=os.path.realpath(program), prefix=prefix or free_prefix(), control_plane=control_plane)
        self.certificates()
        self.configurations()
        with open(self.path("logs", "node.log"), "w") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc",
                 sys.executable, os.path.realpath(__file__), "node", str(self.state)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        first = wait("the namespaces", 10, lambda: open(children).read().split())[0]
        self.use(**self.settings, pid=int(first), started=started(first))
        (self.state / "cluster.json").write_text(json.dumps(self.settings))
        wait("the node's namespace", 10, lambda: os.readlink(f"/proc/{first}/ns/net") != os.readlink("/proc/self/ns/net"))

        def ip(*words):
            subprocess.run(["ip", *words], check=True)

        ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", first)
        ip("address", "add", self.host + "/24", "dev", self.name)
        ip("link", "set", self.name, "up")
        for subnet in (self.pods, self.services):
            ip("route", "add", subnet, "via", self.node)
        try:
            if not control_plane:
                wait("containerd", 60, lambda: self.inside("ctr", "version", capture_output=True).returncode == 0, self.alive)
                self.load(images)
            wait("the API server", 120, lambda: self.get("/readyz") == b"ok", self.alive)
            report("API server ready", begun)
            if not control_plane:
                wait("the node", 120, self.ready, self.alive)
                self.get("/apis/storage.k8s.io/v1/storageclasses", {
                    "kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "provisioner": "cluster/directory",
                    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                    "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete", "allowVolumeExpansion": True})
                report("node ready", begun)
        except (TimeoutError, subprocess.CalledProcessError) as error:
            self.alive()
            sys.exit(f"{error}; see {self.path('logs')}")

    def alive(self):
        if started(self.pid) != self.started:
            sys.exit("the node has ended: " + pathlib.Path(self.path("logs", "node.log")).read_text())

    def get(self, path, body=None):
        context = ssl.create_default_context(cafile=self.path("pki", "ca.crt"))
        context.load_cert_chain(self.path("pki", "admin.crt"), self.path("pki", "admin.key"))
        request = urllib.request.Request(f"https://{self.node}:6443{path}", body and json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, context=context, timeout=5).read()

    def ready(self):
        node = json.loads(self.get("/api/v1/nodes/node"))
        self.get("/api/v1/namespaces/default/serviceaccounts/default")  # pods cannot be created before it
        return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"]["conditions"])

    def certificates(self):
        def openssl(*words, text=None):
            subprocess.run(["openssl", *words], check=True, cwd=self.path("pki"), input=text, text=True,
                           stderr=subprocess.DEVNULL)

        def file(suffix):
            return self.path("pki", suffix)

        def key(name):
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")

        def issue(name, subject, names=None):
            key(name)
            openssl("req", "-new", "-key", name + ".key", "-subj", subject, "-out", name + ".csr")
            (self.state / "pki/extensions").write_text("extendedKeyUsage=clientAuth,serverAuth\n"
                                                       + (f"subjectAltName={names}\n" if names else ""))
            openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                    "-days", "365", "-extfile", "extensions", "-out", name + ".crt")

        key("ca")
        key("sa")
        openssl("pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")  # the API server reads no PKCS#8 EC key here
        openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=ca", "-days", "365", "-out", "ca.crt")
        issue("apiserver", "/CN=kube-apiserver", f"IP:127.0.0.1,IP:{self.node},IP:{self.first_service},DNS:localhost,"
              "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local")
        issue("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        issue("kubelet-server", "/CN=node", f"IP:{self.node},DNS:node")
        for user, subject in (("admin", "/O=system:masters/CN=admin"), ("controllers", "/CN=system:kube-controller-manager"),
                              ("scheduler", "/CN=system:kube-scheduler"), ("proxy", "/CN=system:kube-proxy"),
                              ("kubelet", "/O=system:nodes/CN=system:node:node")):
            issue(user, subject)
            (self.state / (user + ".conf")).write_text(json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
                "clusters": [{"name": "cluster", "cluster": {"server": f"https://{self.node}:6443",
                                                             "certificate-authority": file("ca.crt")}}],
                "users": [{"name": user, "user": {"client-certificate": file(user + ".crt"),
                                                  "client-key": file(user + ".key")}}],
                "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": user}}]}))

    def configurations(self):
        def write(name, value):
            (self.state / name).write_text(value if isinstance(value, str) else json.dumps(value, indent=1))

        write("containerd.toml", f"""version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{self.path('cni')}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        write("cni/10-bridge.conflist", {"cniVersion": "0.4.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": self.pods}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}}]})
        # What programs do with a service account: who, which verb, which resource, which answer; never what is in an object.
        write("audit.json", {
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
                {"level": "None", "namespaces": ["kube-system"]},
                {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
                {"level": "Metadata", "userGroups": ["system:serviceaccounts"]}]})
        write("resolv.conf", f"nameserver {self.node}\n")
        write("Corefile", """.:53 {
    errors
    health 127.0.0.1:8080
    kubernetes cluster.local {
        kubeconfig %s cluster
        pods insecure
        ttl 5
    }
}
""" % self.path("admin.conf"))
        write("kubelet.json", {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": self.node,
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": self.path("pki", "ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": self.path("pki", "kubelet-server.crt"), "tlsPrivateKeyFile": self.path("pki", "kubelet-server.key"),
            "containerRuntimeEndpoint": "unix://" + CONTAINERD,
            "cgroupDriver": "cgroupfs", "cgroupRoot": "/" + self.name, "failSwapOn": False,
            "clusterDNS": [self.node], "clusterDomain": "cluster.local", "resolvConf": self.path("resolv.conf"),
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
                             "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
            "volumePluginDir": "/var/lib/kubelet/volume-plugins"})
        write("proxy.json", {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "iptables",
            "clientConnection": {"kubeconfig": self.path("proxy.conf")}, "clusterCIDR": self.pods, "hostnameOverride": "node",
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "iptables": {"minSyncPeriod": "0s"}})

    # ---- inside: the first process of the namespaces ------------------------------------------------------------
    def commands(self):
        def pki(name):
            return self.path("pki", name)

        def conf(name):
            return [f"--{kind}kubeconfig=" + self.path(name + ".conf") for kind in ("", "authentication-", "authorization-")]

        def kube(name, *words):
            return name, [self.program, name, *words]

        if not self.control_plane:
            yield "containerd", ["containerd", "--config", self.path("containerd.toml")]
        yield kube("etcd", "--data-dir=" + self.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
                   "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                   "--listen-peer-urls=http://127.0.0.1:2380")
        yield kube("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address=" + self.node,
                   "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
                   "--client-ca-file=" + pki("ca.crt"), "--authorization-mode=Node,RBAC", "--allow-privileged=true",
                   "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
                   "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                   "--service-account-key-file=" + pki("sa.pub"), "--service-account-signing-key-file=" + pki("sa.key"),
                   "--service-cluster-ip-range=" + self.services,
                   "--audit-policy-file=" + self.path("audit.json"), "--audit-log-path=" + self.path("logs", "audit.log"),
                   "--requestheader-client-ca-file=" + pki("ca.crt"), "--requestheader-allowed-names=front-proxy",
                   "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
                   "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                   "--kubelet-certificate-authority=" + pki("ca.crt"),
                   "--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"),
                   "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
                   "--kubelet-preferred-address-types=InternalIP")
        yield kube("kube-controller-manager", *conf("controllers"), "--leader-elect=false", "--root-ca-file=" + pki("ca.crt"),
                   "--service-account-private-key-file=" + pki("sa.key"), "--use-service-account-credentials",
                   "--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"))
        if self.control_plane:
            return
        yield kube("kube-scheduler", *conf("scheduler"), "--leader-elect=false")
        yield kube("kubelet", "--config=" + self.path("kubelet.json"), "--kubeconfig=" + self.path("kubelet.conf"),
                   "--hostname-override=node", "--node-ip=" + self.node)
        yield kube("kube-proxy", "--config=" + self.path("proxy.json"))
        yield kube("coredns", "-conf", self.path("Corefile"))
        yield kube("provisioner", "--kubeconfig=" + self.path("admin.conf"), "--root=/var/lib/volumes")
        yield kube("netpolicy", "--kubeconfig=" + self.path("admin.conf"), "--hostname-override=node",
                   "--service-cluster-ip-range=" + self.services)

    def run_node(self):
        """Runs as pid 1 inside the new namespaces: prepares them, starts the programs, reaps, ends with the first that ends."""
        def command(*words):
            subprocess.run(words, check=True)

        command("mount", "--make-rshared", "/")  # the kubelet wants its mounts seen by containers
        for directory, target in MOUNTED.items():
            command("mount", "--bind", self.path(directory), target)
        command("mount", "--bind", self.path("resolv.conf"), "/etc/resolv.conf")
        for directory in cgroup_directories(self.name):
            os.makedirs(directory, exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # cgroup v1: empty in a new cpuset
                file = directory / name
                if directory.parent.name == "cpuset" and file.exists() and not file.read_text().strip():
                    file.write_text((directory.parent / name).read_text())  # else no process may enter
        wait("the network device", 10, lambda: os.path.exists(f"/proc/sys/net/ipv4/conf/eth0"))
        for words in ("link set lo up", f"address add {self.node}/24 dev eth0", "link set eth0 up"):  # no default route
            command("ip", *words.split())
        for name, value in (("net/ipv4/ip_forward", 1), ("net/bridge/bridge-nf-call-iptables", 1)):
            pathlib.Path("/proc/sys", name).write_text(str(value))
        environment = os.environ | {"HOME": self.path(), "GOMAXPROCS": str(os.cpu_count())}
        running = {}

        def reap(flags=os.WNOHANG):
            pid, status = os.waitpid(-1, flags) if running else (0, 0)
            if pid in running:
                sys.exit(f"{running[pid]} ended with {os.waitstatus_to_exitcode(status)}")

        for name, words in self.commands():
            if name == "kube-controller-manager":  # gives up after 10 s without it
                wait("the API server", 120, lambda: self.get("/readyz") == b"ok", reap)
            if name == "kubelet":  # ends at once without it
                wait("containerd", 60, lambda: socket.socket(socket.AF_UNIX).connect(CONTAINERD) is None, reap)
            log = open(self.path("logs", name + ".log"), "w")
            running[subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
                                     start_new_session=True).pid] = name
        while True:
            reap(0)

    # ---- the rest -----------------------------------------------------------------------------------------------
    def inside(self, *words, **options):
        entered = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--ipc", "--wd=" + os.getcwd(), *words]
        return subprocess.run(entered, env=os.environ | {"KUBECONFIG": self.path("admin.conf")}, **options)

    def load(self, images):
        for image in images:
            self.inside("ctr", "--namespace", "k8s.io", "images", "import", os.path.realpath(image),
                        check=True, stdout=subprocess.DEVNULL)

    def down(self, keep):
        if self.pid and started(self.pid) == self.started:  # not another process that got the same pid
            os.kill(self.pid, signal.SIGKILL)  # the first process of a pid namespace: the kernel ends all the others
            wait("the processes to end", 30, lambda: started(self.pid) != self.started)
        subprocess.run(["ip", "link", "delete", self.name], stderr=subprocess.DEVNULL)
        for top in cgroup_directories(self.name):
            for directory, _, _ in os.walk(top, topdown=False):
                wait("an empty cgroup", 10, lambda: os.rmdir(directory) is None)
        (self.state / "cluster.json").unlink(missing_ok=True)
        if not keep and (self.state / "pki").exists():  # remove only what up has made
            shutil.rmtree(self.state)


def free_prefix():
    """The first 10.N.0.0/16 that no route of this machine touches."""
    routes = subprocess.run(["ip", "-4", "route", "show"], check=True, capture_output=True, text=True).stdout.split()
    for number in range(200, 255):
        if not any(word.startswith(f"10.{number}.") for word in routes):
            return f"10.{number}"
    sys.exit("every network from 10.200 to 10.254 is in use; give one by --prefix")


def cgroup_directories(name):
    if (CGROUPS / "cgroup.controllers").exists():  # cgroup v2
        return [CGROUPS / name]
    return [path / name for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def started(pid):
    """The start time of a process, which tells it from a later one with the same pid."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def wait(what, seconds, probe, check=lambda: None):
    end, error = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            if value := probe():
                return value
        except Exception as caught:
            error = caught
        check()
        time.sleep(0.1)
    raise TimeoutError(f"waited {seconds} s for {what} ({error})")


def report(what, begun):
    print(f"{what} after {time.monotonic() - begun:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("verb", choices=["up", "down", "load", "run", "node"])
    parser.add_argument("state")
    verb, state = sys.argv[1:3] if len(sys.argv) > 2 else parser.parse_args()
    cluster = Cluster(state)
    if verb == "up":
        parser.add_argument("--program", required=True)
        parser.add_argument("--prefix")
        parser.add_argument("--control-plane", action="store_true")
        parser.add_argument("--image", action="append", default=[])
        options = parser.parse_args()
        cluster.up(options.program, options.prefix, options.control_plane, options.image)
    elif verb == "load":
        cluster.load(sys.argv[3:])
    elif verb == "run":
        sys.exit(cluster.inside(*sys.argv[3:]).returncode)
    elif verb == "node":
        settled = cluster.path("cluster.json")
        wait("the settings", 10, lambda: os.path.exists(settled))
        Cluster(state).run_node()
    else:
        cluster.down("--keep" in sys.argv)


if __name__ == "__main__":
    main()
