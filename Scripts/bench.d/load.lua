-- wrk's script. Arguments after `--`: KIND PREFIX TOKENS
--   get     GET /
--   first   POST /once with a token never used before: PREFIX and a counter
--   replay  POST /once with one of TOKENS tokens, in turn: PREFIX and 1..TOKENS
-- `done` prints one JSON line that starts with "wrk-result ".
local head, tail, prefix, tokens
local count = 0
local kind

function init(args)
    kind, prefix, tokens = args[1], args[2], tonumber(args[3] or "64")
    if kind == "get" then
        head = wrk.format("GET", "/")
        return
    end
    local body = '{"item":"book","quantity":1,"customer":"4711","address":"1 High Street, Springfield","note":"please ring twice"}'
    local text = wrk.format("POST", "/once", {
        ["Content-Type"] = "application/json", ["Idempotency-Key"] = "@TOKEN@",
    }, body)
    local from, to = text:find("@TOKEN@", 1, true)
    head, tail = text:sub(1, from - 1) .. prefix, text:sub(to + 1)
end

function request()
    if kind == "get" then return head end
    count = count + 1
    local number = count
    if kind == "replay" then number = count % tokens + 1 end
    return head .. string.format("%010d", number) .. tail
end

function done(summary, latency, requests)
    io.write(string.format(
        'wrk-result {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
        '"connect_errors":%d,"read_errors":%d,"write_errors":%d,"timeouts":%d,"status_errors":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
        summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.timeout,
        summary.errors.status))
end
