// Holds a quiz: a tool that asks one question after another and reports its progress, a resource, a prompt.
// What the world exports are the objects `tools`, `resources` and `prompts`.
import { ask } from 'margay:host/ask@0.1.0';
import { progress } from 'margay:host/context@0.1.0';

const RULES = 'quiz://rules';
const SUMS = [
  [7, 8],
  [12, 9],
  [25, 17],
  [48, 36],
  [99, 64],
];

export const tools = {
  listTools() {
    const inputSchema = {
      type: 'object',
      properties: { rounds: { type: 'integer', minimum: 1, maximum: SUMS.length, default: 2 } },
    };
    const quiz = {
      name: 'hold_quiz',
      title: 'Hold a quiz',
      description: 'Asks for sums, one after another, and counts the right answers',
      inputSchema: JSON.stringify(inputSchema),
      icons: [],
      taskSupport: 'forbidden',
    };
    return { tools: [quiz] };
  },

  callTool(name, argumentsText) {
    if (name !== 'hold_quiz') throw { tag: 'not-found', val: name };
    const { rounds = 2 } = JSON.parse(argumentsText);
    if (!Number.isInteger(rounds) || rounds < 1 || rounds > SUMS.length) {
      throw { tag: 'invalid-params', val: `\`rounds\` is a number from 1 to ${SUMS.length}` };
    }
    const sums = SUMS.slice(0, rounds);
    let right = 0;
    for (const [index, sum] of sums.entries()) {
      const answer = askForSum(index, sum);
      if (answer === undefined) return said(`The quiz ended after ${index} of ${rounds} rounds`);
      if (answer === sum[0] + sum[1]) right += 1;
      progress(index + 1, rounds, `${right} right so far`);
    }
    return said(`${right} of ${rounds} right`);
  },
};

// Each question has a key of its own, under which its answer is found again when the call is run once more.
function askForSum(index, [left, other]) {
  const requestedSchema = { type: 'object', properties: { sum: { type: 'integer' } }, required: ['sum'] };
  const form = { message: `How much is ${left} + ${other}?`, requestedSchema: JSON.stringify(requestedSchema) };
  const [answer] = ask([{ key: `round-${index + 1}`, question: { tag: 'elicit-form', val: form } }]);
  if (answer.tag !== 'elicited' || answer.val.action !== 'accept') return undefined;
  return JSON.parse(answer.val.content ?? '{}').sum;
}

export const resources = {
  listResources() {
    const rules = {
      uri: RULES,
      name: 'Rules',
      description: 'How the quiz goes',
      mimeType: 'text/markdown',
      icons: [],
    };
    return { resources: [rules], templates: [] };
  },

  readResource(uri) {
    if (uri !== RULES) throw { tag: 'not-found', val: uri };
    const body = { tag: 'text', val: `# Rules\n\nUp to ${SUMS.length} sums. Whoever declines one, ends the quiz.\n` };
    return { contents: [{ uri, mimeType: 'text/markdown', body }] };
  },

  subscribe(uri) {
    throw { tag: 'invalid-params', val: `${uri} never changes` };
  },
};

export const prompts = {
  listPrompts() {
    const praise = {
      name: 'praise',
      description: 'Has somebody praised for a result',
      arguments: [{ name: 'result', description: 'As the quiz gave it', required: true }],
      icons: [],
    };
    return { prompts: [praise] };
  },

  getPrompt(name, argumentPairs) {
    if (name !== 'praise') throw { tag: 'not-found', val: name };
    const { result } = Object.fromEntries(argumentPairs);
    if (result === undefined) throw { tag: 'invalid-params', val: '`result` is missing' };
    const content = text(`Praise somebody for this result in a quiz, in one sentence: ${result}`);
    return { messages: [{ role: 'user', content }] };
  },
};

function text(words) {
  return { block: { tag: 'text', val: words } };
}

function said(words) {
  return { content: [text(words)], isError: false };
}
