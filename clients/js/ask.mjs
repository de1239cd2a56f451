// Ask about files and print the answer as it comes: node ask.mjs "What is said?" recording.ogg
// A server that wants a key gets the one in SENSORIUM_API_KEY.

import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { access, constants } from "node:fs/promises";
import { basename } from "node:path";
import { parseArgs } from "node:util";

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  GatewayService,
  TurnFinishReason,
} from "@sensorium/stubs/sensorium/gateway/v1/gateway_pb.js";

import { explain, footnote, Refusal, withKey } from "./told.mjs";

const TURN_ID = "turn";
const CHUNK_BYTES = 64 * 1024;

/** A client of `host:port`; plain to this machine only, so that no key travels in the clear. */
function connect(server, tls) {
  const here = /^(localhost|127\.[\d.]+|\[::1\]):\d+$/.test(server);
  const transport = createGrpcTransport({
    baseUrl: `${here && !tls ? "http" : "https"}://${server}`,
    interceptors: [withKey(process.env.SENSORIUM_API_KEY)],
  });
  return createClient(GatewayService, transport);
}

/**
 * All that is sent for a turn. `stop` is aborted with the reason "over" when the server is done
 * with the turn, and with "interrupted" when it is to be cancelled; the stream stays open until
 * one of them. The next request is asked for when the last one is taken, so that files are read
 * no faster than they are sent.
 */
async function* requests(question, assets, stop) {
  const inTurn = (kind, value) => ({ turnId: TURN_ID, message: { case: kind, value } });
  yield { message: { case: "config", value: {} } };
  // First, so that the server knows what to look for in the files.
  yield inTurn("text", { text: question });
  for (const [assetId, path] of assets) {
    for await (const [kind, value] of upload(assetId, path)) {
      if (stop.aborted) break;
      yield inTurn(kind, value);
    }
  }
  if (!stop.aborted) {
    yield inTurn("endTurn", {});
  }
  if (!stop.aborted) {
    await once(stop, "abort");
  }
  if (stop.reason === "interrupted") {
    yield inTurn("cancelTurn", {});
  }
}

/** A file as an asset of the turn: its start, its chunks, and its end. */
async function* upload(assetId, path) {
  const hash = createHash("sha256");
  let offset = 0n;
  yield ["assetStart", { assetId, name: basename(path) }];
  for await (const data of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    hash.update(data);
    yield ["chunk", { assetId, offset, data }];
    offset += BigInt(data.length);
  }
  yield ["assetFinish", { assetId, sizeBytes: offset, sha256: hash.digest("hex") }];
}

/** Prints the answer, and below it what it rests on. */
async function ask(client, question, paths) {
  await Promise.all(paths.map((path) => access(path, constants.R_OK)));
  const assets = new Map(paths.map((path) => [randomUUID(), path]));
  const named = (error) => ({ ...error, subject: assets.get(error.subject) ?? error.subject });
  const stop = new AbortController();
  // A second Ctrl-C ends the program.
  process.once("SIGINT", () => stop.abort("interrupted"));
  for await (const { event } of client.streamingConverse(requests(question, assets, stop.signal))) {
    switch (event.case) {
      case "token":
        process.stdout.write(event.value.text);
        break;
      case "citation":
        process.stdout.write(`\n  ${footnote(event.value)}`);
        break;
      case "itemError":
        console.error(new Refusal(named(event.value.error)).message);
        break;
      case "error":
        throw new Refusal(named(event.value));
      case "turnComplete":
        process.stdout.write("\n");
        if (event.value.finishReason === TurnFinishReason.CANCELLED) {
          console.error("cancelled");
        }
        stop.abort("over");
        break;
    }
  }
}

/** What was asked for on the command line. */
function asked() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      server: { type: "string", default: "127.0.0.1:50051" },
      tls: { type: "boolean", default: false },
    },
  });
  const [question, ...paths] = positionals;
  if (question === undefined) {
    throw new TypeError("A question is needed.");
  }
  return { ...values, question, paths };
}

let wanted;
try {
  wanted = asked();
} catch (error) {
  console.error(error.message);
  console.error("usage: node ask.mjs [--server HOST:PORT] [--tls] QUESTION [FILE ...]");
  process.exit(2);
}
try {
  await ask(connect(wanted.server, wanted.tls), wanted.question, wanted.paths);
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}
