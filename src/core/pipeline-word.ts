/** Stands for the pipeline in brackets with that number, among a stage's words. */
export const PIPELINE_WORD = 'pipeline in brackets '
