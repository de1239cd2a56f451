// Asks a running server by OpenAI's JavaScript client, unchanged, and prints what came back as JSON.
// Usage: node ask.mjs BASE_URL MODEL PHOTO RECORDING FILM
import { readFile } from "node:fs/promises";
import OpenAI from "openai";

const [baseURL, model, photo, recording, film] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });

const base64 = async (path) => (await readFile(path)).toString("base64");
const image = { type: "image_url", image_url: { url: `data:image/jpeg;base64,${await base64(photo)}` } };
const audio = { type: "input_audio", input_audio: { data: await base64(recording), format: "ogg" } };
const video = { type: "video_url", video_url: { url: `data:video/mp4;base64,${await base64(film)}` } };

const request = (text, ...parts) => ({
  model,
  max_completion_tokens: 16,
  messages: [{ role: "user", content: [{ type: "text", text }, ...parts] }],
});

async function streamed(body) {
  const chunks = [];
  const stream = await client.chat.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) chunks.push(chunk);
  return {
    text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    finish_reason: chunks.at(-2).choices[0].finish_reason,
    sensorium: chunks.at(-2).sensorium,
    usage: chunks.at(-1).usage,
  };
}

async function refused(body) {
  try {
    await client.chat.completions.create(body);
  } catch (error) {
    return { raised: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
  return { raised: null };
}

async function left(body) {
  const stream = await client.chat.completions.create({ ...body, max_completion_tokens: 1500, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0].delta.content) break;
  }
  return stream.controller.signal.aborted;
}

const everything = request("What animal is it, and what is said?", image, audio, video);
const whole = await client.chat.completions.create(everything);
console.log(
  JSON.stringify({
    whole: { ...whole.choices[0], sensorium: whole.sensorium, usage: whole.usage },
    streamed: await streamed(everything),
    helper: await client.chat.completions.stream(request("What is the capital of France?")).finalContent(),
    refused: await refused({ ...request("Hello"), n: 2 }),
    unknown: await refused({ ...request("Hello"), model: "gpt-none" }),
    models: (await client.models.list()).data.map((each) => each.id),
    left: await left(request("Write a very long story about the sea, and do not stop.")),
  }),
);
