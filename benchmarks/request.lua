-- One request after the other, each with a nonce of its own.
-- wrk ... request.lua URL -- FILE KEY RUN IDEMPOTENT DELAY
--   FILE        one request per line: signature, tab, body; they take turns
--   KEY         api key; "-": unsigned
--   RUN         leads every nonce and idempotency key, so that runs never share one
--   IDEMPOTENT  "yes": every request gets an idempotency key of its own
--   DELAY       mean pause of a connection between two requests, in milliseconds

local heads, bodies, count, sent = {}, {}, 0, 0
local run, tail

function init(args)
   local file, key, idempotent, pause = args[1], args[2], args[4], tonumber(args[5])
   run = args[3]
   tail = idempotent == "yes" and "\r\nIdempotency-Key: " or nil
   for line in io.lines(file) do
      local sign, body = line:match("^([^\t]*)\t(.*)$")
      count = count + 1
      heads[count] = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: bench\r\n"
         .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n"
      if key ~= "-" then
         heads[count] = heads[count] .. "X-API-KEY: " .. key .. "\r\nX-API-SIGN: " .. sign
            .. "\r\nX-API-NONCE: "
      end
      bodies[count] = "\r\n\r\n" .. body
   end
   if key == "-" then
      for i = 1, count do
         heads[i] = heads[i] .. "X-Bench: "
      end
   end
   if pause > 0 then
      delay = function() return math.random(0, 2 * pause) end
   end
end

function request()
   sent = sent + 1
   local at = sent % count + 1
   local name = run .. string.format("%012d", sent)
   if tail then
      return heads[at] .. name .. tail .. name .. bodies[at]
   end
   return heads[at] .. name .. bodies[at]
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"micros":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d,"max":%d}\n',
      summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
      latency:percentile(50), latency:percentile(99), latency.max))
end
