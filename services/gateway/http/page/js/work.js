// What an answer took, in the page's own terms, whether the socket told of it or the HTTP API:
// {finish, tokenCount, mediaBytes, isCached, timings, trace: {id, spanId}}, where timings are
// {stages: [{stage, start_s, end_s}], lastByte_s, firstToken_s, lastToken_s, waited_s}, or null where nobody
// has kept them.

import { seconds } from "./format.js";

/** Of a TurnComplete of the contract; `traceId` is that of its stream. */
export function workOf({ finishReason, usage = {}, timings, responseCached, spanId }, traceId) {
  return {
    finish: finishReason.replace("TURN_FINISH_REASON_", "").toLowerCase(),
    tokenCount: usage.completionTokenCount ?? 0,
    mediaBytes: Number(usage.mediaBytes ?? 0),
    isCached: responseCached,
    timings: timings ? timingsOf(timings) : null,
    trace: { id: traceId, spanId },
  };
}

/** Of a turn of the HTTP API. */
export function workOfHttp(turn) {
  return {
    finish: turn.finish_reason,
    tokenCount: turn.usage?.completion_tokens ?? 0,
    mediaBytes: turn.media_bytes,
    isCached: turn.response_cached,
    timings: turn.timings && timingsOfHttp(turn.timings),
    trace: { id: turn.trace_id, spanId: turn.span_id },
  };
}

function timingsOf({ stages = [], lastByte, firstToken, lastToken, timeToFirstToken }) {
  return {
    stages: stages.map(({ stage, start, end }) => ({
      stage,
      start_s: seconds(start),
      end_s: seconds(end),
    })),
    lastByte_s: seconds(lastByte),
    firstToken_s: seconds(firstToken),
    lastToken_s: seconds(lastToken),
    waited_s: seconds(timeToFirstToken),
  };
}

function timingsOfHttp(timings) {
  return {
    stages: timings.stages,
    lastByte_s: timings.last_byte_s,
    firstToken_s: timings.first_token_s,
    lastToken_s: timings.last_token_s,
    waited_s: timings.time_to_first_token_s,
  };
}
