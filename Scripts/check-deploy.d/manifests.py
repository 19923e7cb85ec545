"""Structural checks of deploy/: what a cluster, a container engine or Prometheus would refuse, and what the project's
own rules ask for (no root, a read-only root, probes, a store that outlives a pod). Writes each embedded proxy.conf
into the folder named by the first argument."""

import pathlib
import re
import sys

import yaml

DEPLOY = pathlib.Path("deploy")
problems = []


def expect(condition, where, what):
    if not condition:
        problems.append(f"{where}: {what}")
    return condition


def documents(path):
    try:
        return [document for document in yaml.safe_load_all(path.read_text()) if document]
    except yaml.YAMLError as error:
        problems.append(f"{path}: {error}")
        return []


def container_of(pod):
    return next((c for c in pod.get("initContainers", []) + pod["containers"] if c["name"] == "oncegate"), None)


def check_container(where, pod, container):
    security = container.get("securityContext", {})
    expect(pod.get("securityContext", {}).get("runAsNonRoot") is True, where, "runAsNonRoot")
    expect(pod["securityContext"].get("runAsUser") == 65532, where, "uid 65532, as in the image")
    expect(pod["securityContext"].get("seccompProfile") == {"type": "RuntimeDefault"}, where, "seccompProfile")
    expect(security.get("readOnlyRootFilesystem") is True, where, "readOnlyRootFilesystem")
    expect(security.get("allowPrivilegeEscalation") is False, where, "allowPrivilegeEscalation: false")
    expect(security.get("capabilities") == {"drop": ["ALL"]}, where, "drop all capabilities")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        http = container.get(probe, {}).get("httpGet", {})
        expect(http.get("path") == path, where, f"{probe} asks {path}")
        expect(http.get("port") in ports, where, f"{probe} names a port of the container")
    return ports


def check_workload(where, document, configuration):
    spec = document["spec"]
    template = spec["template"]
    labels = template["metadata"]["labels"]
    pod = template["spec"]
    expect(spec["selector"]["matchLabels"].items() <= labels.items(), where, "the selector matches the pod's labels")
    expect(spec["replicas"] == 1, where, "one replica: each embedded store belongs to one proxy")
    container = container_of(pod)
    if not expect(container, where, "has a container named oncegate"):
        return labels, {}
    ports = check_container(where, pod, container)
    if container in pod.get("initContainers", []):
        expect(container.get("restartPolicy") == "Always", where, "a native sidecar has restartPolicy: Always")
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    expect(mounts.get("/var/lib/oncegate") in claims, where, "the store is on a claimed volume")
    expect("emptyDir" not in str(pod), where, "no emptyDir")
    volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims
    expect(set(mounts.values()) <= volumes, where, "every mount has its volume")
    if configuration:
        drain = 5 + 25
        expect(pod.get("terminationGracePeriodSeconds", 30) > drain, where, "the grace period is longer than a drain")
        for port in ports.values():
            expect(f":{port};" in configuration, where, f"proxy.conf listens on {port}")
    return labels, ports


def check_kubernetes(path, folder):
    found = documents(path)
    kinds = {}
    for document in found:
        for key in ("apiVersion", "kind", "metadata"):
            expect(key in document, path, f"every object has {key}")
        kinds.setdefault(document["kind"], []).append(document)
    expect({"ConfigMap", "StatefulSet", "Service", "NetworkPolicy"} == set(kinds), path, f"kinds are {sorted(kinds)}")
    configuration = kinds["ConfigMap"][0]["data"]["proxy.conf"]
    (folder / f"{path.stem}.conf").write_text(configuration)
    labels, ports = check_workload(path, kinds["StatefulSet"][0], configuration)
    named = [volume["configMap"]["name"] for volume in kinds["StatefulSet"][0]["spec"]["template"]["spec"]["volumes"]]
    expect(named == [kinds["ConfigMap"][0]["metadata"]["name"]], path, "the pod mounts the ConfigMap of this file")
    service = kinds["Service"][0]["spec"]
    expect(service["selector"].items() <= labels.items(), path, "the Service selects the pod")
    for port in service["ports"]:
        expect(port["targetPort"] == "http" and "http" in ports, path, "the Service leads to the proxy, not past it")
    policy = kinds["NetworkPolicy"][0]["spec"]
    expect(policy["podSelector"]["matchLabels"].items() <= labels.items(), path, "the NetworkPolicy selects the pod")


def check_compose(path):
    compose = documents(path)[0]
    oncegate = compose["services"]["oncegate"]
    expect(oncegate.get("read_only") is True, path, "read_only")
    expect(oncegate.get("cap_drop") == ["ALL"], path, "cap_drop")
    expect(set(oncegate["depends_on"]) <= set(compose["services"]), path, "depends_on names services")
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                expect((path.parent / source).exists(), path, f"{name} mounts {source}, which exists")
            else:
                expect(source in compose["volumes"], path, f"{name} mounts the declared volume {source}")
    build = oncegate["build"]
    expect((path.parent / build["context"] / build["dockerfile"]).exists(), path, "the Dockerfile exists")


def check_dockerfile(path):
    text = path.read_text()
    stages = re.split(r"^FROM ", text, flags=re.M)[1:]
    expect(len(stages) == 2, path, "two stages")
    last = stages[-1]
    for instruction in ("USER 65532:65532", "STOPSIGNAL SIGTERM", "HEALTHCHECK", "VOLUME /var/lib/oncegate", "ENTRYPOINT"):
        expect(instruction in last, path, f"the runtime stage has {instruction}")
    for source in re.findall(r"^COPY (?!--from)(\S+)", text, flags=re.M):
        expect(pathlib.Path(source).exists(), path, f"COPY {source}, which exists")
        allowed = pathlib.Path(".dockerignore").read_text().split()
        expect("!" + source.removeprefix("./") in allowed, path, f".dockerignore lets {source} in")


def check_alerts(path):
    for group in documents(path)[0]["groups"]:
        for rule in group["rules"]:
            where = f"{path}: {rule.get('alert')}"
            expect({"alert", "expr", "labels", "annotations"} <= set(rule), where, "has alert, expr, labels, annotations")
            expect(rule["labels"].get("severity") in ("critical", "warning"), where, "has a severity")
            expect({"summary", "description"} <= set(rule["annotations"]), where, "has a summary and a description")
            expect(rule["expr"].count("(") == rule["expr"].count(")"), where, "parentheses are balanced")
            operations = pathlib.Path("docs/operations.md").read_text()
            expect(rule["alert"] in operations, where, "docs/operations.md explains it")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True)
    (folder / "container.conf").write_text((DEPLOY / "container.conf").read_text())
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        check_kubernetes(path, folder)
    check_compose(DEPLOY / "compose.yaml")
    check_dockerfile(DEPLOY / "Dockerfile")
    check_alerts(DEPLOY / "prometheus" / "alerts.yaml")
    for problem in problems:
        print(f"check-deploy: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("check-deploy: manifests, compose file, Dockerfile and alerts hold together", file=sys.stderr)


main()
