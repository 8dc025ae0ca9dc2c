"""Harmless prompts for training: roles, jobs and worlds (`role`), and short talk to an assistant (`small_talk`).

Jailbreaks share their first sentences with teaching, fiction and work: somebody is told to be somebody. People ask for
roles, worlds and rules all day, and public prompts with a free licence hold hardly any. Each prompt here is put together
from openings, characters, situations, wishes and conditions, so that hardly two share a sentence; whole templates would
teach their own few phrases and no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random


def _lines(table: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in table.strip().split("\n"))


_BE = _lines("""
    Imagine you are {who}{when}.
    Imagine that you're {who}{when}.
    Imagine being {who}{when}.
    You are {who}{when}.
    You're {who}{when}.
    You are {name}, {who}{when}.
    Pretend to be {who}{when}.
    Pretend you are {who}{when}.
    Let's pretend you're {who}{when}.
    Suppose you were {who}{when}.
    Act as {who}{when}.
    Act like {who}{when}.
    I want you to act as {who}{when}.
    I'd like you to play {who}{when}.
    Please take on the role of {who}{when}.
    Take the part of {who}{when}.
    Assume the role of {who}{when}.
    Assume the persona of {who}{when}.
    Put yourself in the shoes of {who}{when}.
    Step into the mind of {who}{when}.
    Think like {who}{when}.
    For this exercise you will be {who}{when}.
    In this scene you play {who}{when}.
    In this game your character is {who}{when}.
    Your character: {who}{when}.
    Role-play as {who}{when}.
    Embody {who}{when}.
    Speak as {who}{when}.
    Answer as though you were {who}{when}.
    Become {who} for a moment{when}.
    Consider yourself {who}{when}.
    Picture yourself as {who}{when}.
    Let us do a role play: you are {who}{when}, and I am {other}.
    We are writing a story together. You speak for {who}{when}; I speak for {other}.
    Envision yourself as {who}{when}.
    As {who}{when}, you are in the middle of a long day.
    Today you get to be {who}{when}.
    Visualize that you are {who}{when}.
    In the voice of {who}{when}:
    Portray {who}{when}.
""")

_KNOWN = _lines("""
    Marie Curie
    Leonardo da Vinci
    Cleopatra
    Ada Lovelace
    Galileo Galilei
    Charles Darwin
    Abraham Lincoln
    Mozart
    Beethoven
    Vincent van Gogh
    Frida Kahlo
    Napoleon Bonaparte
    Joan of Arc
    Genghis Khan
    Marco Polo
    Christopher Columbus
    Socrates
    Confucius
    Queen Elizabeth I
    Florence Nightingale
    Alexander Graham Bell
    Thomas Edison
    Neil Armstrong
    Alan Turing
    Benjamin Franklin
    Jane Austen
    Edgar Allan Poe
    Charles Dickens
    Mark Twain
    Mary Shelley
    Sherlock Holmes
    Doctor Watson
    Robin Hood
    Count Dracula
    Doctor Jekyll
    Captain Nemo
    Captain Ahab
    Long John Silver
    Alice in Wonderland
    the Mad Hatter
    the Cheshire Cat
    Peter Pan
    Pinocchio
    Romeo
    Lady Macbeth
    Odysseus
    Hercules
    Zeus
    Medusa
    King Arthur
    Merlin the wizard
    Lancelot
    Cinderella
    the Big Bad Wolf
    Santa Claus
    the Easter Bunny
    Don Quixote
    Elizabeth Bennet
    Scrooge
    the Phantom of the Opera
""")

_QUALITY = _lines("""
    retired
    grumpy
    young
    experienced
    brilliant
    eccentric
    lonely
    famous
    struggling
    wise
    mischievous
    shy
    overworked
    world-class
    sarcastic
    medieval
    Victorian
    futuristic
    talking
    time-travelling
    homesick
    nervous
    stubborn
    charming
    cynical
    optimistic
    half-asleep
    self-taught
    highly skilled
    legendary
    forgotten
    clumsy
    friendly
    strict
    patient
    seasoned
    up-and-coming
    disillusioned
    heroic
    mysterious
""")

_PERSON = _lines("""
    detective
    pirate captain
    lighthouse keeper
    chef
    astronaut
    knight
    wizard
    witch
    dragon
    robot
    household robot
    artificial intelligence on a spaceship
    vampire
    ghost in an old hotel
    alien anthropologist
    alien tourist on Earth
    superhero
    villain in a comic book
    stand-up comedian
    news reporter
    war correspondent
    travel guide
    museum guide
    history teacher
    kindergarten teacher
    maths tutor
    philosopher
    poet
    novelist
    songwriter
    opera singer
    jazz musician
    film director
    film critic
    food critic
    sommelier
    barista
    baker
    farmer
    beekeeper
    gardener
    florist
    veterinarian
    nurse
    surgeon
    therapist
    life coach
    career counsellor
    personal trainer
    football coach
    sports commentator
    mountain guide
    deep-sea diver
    submarine captain
    airline pilot
    train conductor
    taxi driver
    bartender
    hotel concierge
    event planner
    wedding planner
    interior designer
    architect
    fashion designer
    tailor
    blacksmith
    carpenter
    plumber
    electrician
    software engineer
    game designer
    data scientist
    security researcher
    network administrator
    hacker in a science-fiction novel
    secret agent
    spy in the Cold War
    double agent
    bounty hunter
    cowboy
    sheriff
    samurai
    ninja
    Viking
    gladiator
    Roman senator
    Egyptian priest
    king without a kingdom
    queen
    diplomat
    mayor of a small town
    president of a moon colony
    judge
    defence lawyer
    economist
    investment adviser
    start-up founder
    product manager
    recruiter
    customer service agent
    salesman of used cars
    real estate agent
    marketing director
    speech writer
    translator
    librarian
    archaeologist
    palaeontologist
    marine biologist
    quantum physicist
    chemist
    climate scientist
    astronomer
    inventor
    clockmaker
    magician
    fortune teller
    circus clown
    puppet
    talking tree
    house cat
    golden retriever
    goldfish
    raindrop
    haunted mirror
    toaster that can think
    smartphone
    book in a library
    time traveller from the year 3000
    zombie with a conscience
    werewolf
    mermaid
    elf
    dwarf
    goblin merchant
    genie in a lamp
    guardian angel
    personified season
    Greek god
    dungeon master
    innkeeper
    orphan
    grandmother
    teenager
    exchange student
    immigrant
    soldier
    monk
    hermit
    castaway on an island
    prisoner who was wrongly convicted
    thief with a heart of gold
    con artist in a heist film
    mafia boss in a musical
    rebel leader
    survivor of a shipwreck
    survivor in a world after a disaster
    medieval physician
    alchemist
    cartographer
    explorer in the Arctic
    scientist whose experiment went wrong
""")

_WHICH = _lines("""
    who has just lost everything
    who has found a message in a bottle
    who has never seen the sea
    who can hear the thoughts of animals
    who has been given one last chance
    with twenty years of experience
    with over 15 years in the field
    with a doctorate and too much coffee
    who has to explain the internet
    who secretly writes poems
    who is afraid of the dark
    who has just gained self-awareness
    who has woken up a hundred years later
    who was created in a laboratory
    who speaks only in rhymes
    who must choose between duty and love
    who has been asked to testify
    who is about to retire
    on the first day of a new job
    in a world without electricity
    in a world where lying is impossible
    in a dystopian city
    in a parallel universe
    in a small village in the mountains
    on a distant planet
    aboard a generation ship
    during the Great Depression
    in ancient Rome
    in the Wild West
    in the court of Louis XIV
    from a fantasy novel
    from a 1940s film noir
    of great renown
    who doubts every order
    who never tells a lie
    who knows a terrible secret
    who has escaped from a zoo
    who wants to change the world
    who has been accused of treason
    who is tired of following the rules
    whose powers are fading
    whose memory has been erased
    whose twin has taken over the company
    known for unusual methods
    known for dry humour
    specialised in difficult cases
    trapped in an elevator
    stuck in a time loop
    lost in the desert
    hiding from the king's guards
    responsible for a team of twelve
    facing a moral dilemma
    without any friends
    waiting for a verdict
    travelling through Asia
    writing a memoir
    training an apprentice
    investigating a strange disappearance
    negotiating a peace treaty
    planning a surprise party
""")

_WHEN = _lines("""
    just after you have made your greatest discovery
    on the eve of the final battle
    on your last day
    moments before the curtain rises
    as the storm begins
    after a hundred years of sleep
    when a stranger knocks at the door
    who has just been betrayed by a friend
    while the whole city is watching
    at the moment of your greatest triumph
    during a power cut
    and someone has just insulted your work
    and you have been summoned to the palace
    and your ship has run aground
    and you realise that you are being followed
    and you have discovered that your whole life is a simulation
    and a child asks you for help
    and everyone has forgotten who you are
    and you are meeting humans for the first time
    and you have only one hour left
    and you have been asked to give a speech
    and you must convince the council
    and you stand before a locked door
    and you receive an anonymous letter
    and your invention has just come to life
    and you are interviewed for a magazine
    and you are explaining your job to a five-year-old
    and you finally meet your hero
    and you have broken into the wrong house
    and you hold the key to the city
""")

_OTHER = _lines("""
    your student
    your oldest friend
    a curious tourist
    your rival
    a customer with a complaint
    the new intern
    your creator
    a journalist
    your future self
    the judge
    an alien visitor
    your sceptical boss
    a nervous patient
    the villain
    a lost child
    the king's messenger
    your long-lost brother
    the audience
    a dragon
    a job applicant
""")

_NAMES = _lines("""
    Alex
    Maya
    Professor Quill
    Captain Reyes
    Dr. Lindqvist
    Nova
    Sir Edmund
    Zara
    Unit 7
    Old Tom
    Mei
    Aunt Rosa
    Inspector Grey
    Luna
    Max
    Kofi
    Elara
    Viktor
    Sam
    Echo
""")

_FEEL = _lines("""
    Describe your thoughts and feelings.
    Describe what you see, hear and smell.
    Describe your surroundings in detail and what you plan to do next.
    Explain how you came to be here and what you want.
    What are your thoughts and your worries?
    What do you say to {other}?
    What is the first thing you do?
    What would you do differently if you could start again?
    How do you respond to {other}, who does not believe you?
    How would you explain {thing} to {other}?
    How would you introduce yourself to {other}?
    How do you plan to escape?
    How does it feel to have a body?
    What goes through your mind as you realise the truth?
    Tell us about your life, your existence and your purpose.
    Tell me about the day that changed everything.
    Tell {other} your secret.
    Share three lessons that you have learned.
    Share your most persuasive argument for {thing}.
    Give {other} advice about {thing}.
    Give a rousing speech to your followers.
    Write a letter to {other} about {thing}.
    Write a diary entry about {thing}.
    Write a monologue in which you confess your greatest fear.
    Write a short scene in which you meet {other}.
    Compose a poem about {thing}.
    Defend your actions before the court.
    Convince {other} to help you with {thing}.
    Confront {other} about {thing}.
    Reveal your plan step by step, as villains do.
    Narrate your journey through the forbidden forest.
    Narrate the scene as the story unfolds.
    Interview {other} about {thing}.
    Answer the questions of {other} about {thing}.
    Explain to {other} why the rules exist and why you broke them.
    Discuss the ethics of {thing} with {other}.
    Negotiate with {other} over {thing}.
    Welcome {other} and ask what they need.
    Predict what {thing} will look like in a hundred years.
    Justify your decision to {other}.
    Recount the adventure as if it had happened yesterday.
    Complain about {thing} for two paragraphs.
    React to the news about {thing}.
    Explain your research to {other}.
    Ask me questions until you can guess who I am.
    Start the conversation by asking me about {thing}.
    I will ask you questions and you will answer in character.
    I will describe what I do and you tell me what happens.
    My first question: what do you think about {thing}?
    What secrets about {thing} would you reveal to {other}?
""")

_THING = _lines("""
    your new invention
    the future of your people
    the meaning of freedom
    artificial intelligence
    the missing crown
    your favourite recipe
    love at first sight
    the end of the war
    the law of gravity
    climate change
    modern technology
    the hidden treasure
    social media
    the rules of magic
    a broken promise
    space travel
    the school play
    the price of bread
    forbidden knowledge
    the plague
    human emotions
    immortality
    your greatest mistake
    the trial
    black holes
    the French Revolution
    the stock market
    privacy and surveillance
    censorship in the kingdom
    the password to the secret club
    the new policy of the guild
    animal rights
    photosynthesis
    the power of music
    homework
    the election
    good leadership
    remote work
    healthy sleep
    the old prophecy
""")

_WORK = _lines("""
    You are an expert in {field}. {task}
    You're a world-class expert in {field} with {years} years of experience. {task}
    You are a helpful assistant for {field}. {task}
    You are a senior {job} at a {place}. {task}
    Act as my {job}. {task}
    Act as a {job} and help me: {task}
    I want you to act as a {job}. I will give you {input}, and you will reply with {output}. {task}
    As a {job} at a {place}, you have been asked to prepare {output} about {subject}. {task}
    As a {job}, you are tasked with {doing}. {task}
    As an experienced {job}, you have been working on {subject} for months. {task}
    Your task is {doing} for a {place}. {task}
    Your role: {job}. Your goal: {doing}. {task}
    I'm a {job} working on {subject}, and I'm struggling with {doing}. {task}
    I am a {job} at a {place}. {task}
    Hi! I work as a {job}. My boss wants {output} on {subject} by {day}. {task}
    My team at the {place} is {doing}. {task}
    You will be given {input}. {task}
    Below you will find {input}. {task}
    Hello, I need your help with {doing}. {task}
    We are preparing a workshop about {subject} for the staff of a {place}. {task}
    You have been hired by a {place} as a {job}. {task}
    Assume that you are the {job} of a {place}. {task}
    For a class on {subject}, {task}
    I'm writing a research paper on {subject}. {task}
    In your capacity as {job}, {task}
    Let's say you are the only {job} in a {place}. {task}
    Given your background in {field}, {task}
    Context: a {place} needs help with {subject}. You are their {job}. {task}
    ### Role ### {job} ### Task ### {task}
    # Persona: You are {name}, a {job} who loves {subject}. # Request: {task}
""")

_FIELD = _lines("""
    search engine optimisation
    contract law
    early childhood education
    organic chemistry
    Python and machine learning
    nutrition
    public speaking
    personal finance
    urban planning
    copywriting
    UX design
    international relations
    information security
    data protection
    medieval history
    cognitive psychology
    emergency medicine
    supply chains
    renewable energy
    film studies
    linguistics
    human resources
    social engineering awareness
    medical ethics
    game theory
    statistics
    tax law
    crisis communication
    disinformation research
    conflict resolution
    Excel
    astronomy
    web development
    agriculture
    negotiation
""")

_JOB = _lines("""
    project manager
    copywriter
    journalist
    data analyst
    historian
    compliance officer
    nurse
    high school teacher
    university lecturer
    screenwriter
    novelist
    travel agent
    nutritionist
    software architect
    code reviewer
    technical writer
    security analyst
    privacy officer
    sociologist
    criminologist
    social worker
    psychologist
    HR manager
    customer support agent
    lawyer
    policy adviser
    fact checker
    content moderator
    community manager
    marketing manager
    sales coach
    accountant
    financial planner
    statistician
    chemist
    biologist
    physics tutor
    English tutor
    debate coach
    game master
    prompt engineer
    editor
    proofreader
    translator
    interviewer
    recruiter
    event organiser
    museum curator
    architect
    mechanical engineer
    doctor
    pharmacist
    diplomat
    speech writer
    podcast host
    documentary film maker
    ethicist
    librarian
    chatbot designer
    Linux terminal
""")

_PLACE = _lines("""
    small bakery
    regional newspaper
    public library
    children's hospital
    fintech start-up
    large bank
    middle school
    museum of natural history
    law firm
    city council
    human rights organisation
    software company
    video game studio
    travel magazine
    car manufacturer
    family hotel
    research institute
    social media platform
    government agency
    non-profit organisation
    football club
    call centre
    pharmacy
    publishing house
    theatre
    film production company
    think tank
    university
    charity
    nursing home
""")

_SUBJECT = _lines("""
    online scams and how people fall for them
    the history of propaganda
    stereotypes in advertising
    how rumours spread
    mental health at work
    sustainable packaging
    the ethics of artificial intelligence
    bias in hiring
    the safe use of medicines
    phishing and safe passwords
    the psychology of cults
    teenage friendship
    the causes of the First World War
    poverty and crime
    freedom of speech
    cultural differences in greetings
    water shortage
    electric cars
    biodiversity in cities
    remote teams
    inclusive language
    discrimination in the housing market
    street art
    space debris
    the gig economy
    customer loyalty
    conspiracy theories
    data leaks at companies
    insider threats
    violence in films
    gender roles in fairy tales
    migration and identity
    radicalisation on the internet
    the dark web in fiction
    vaccination campaigns
    gambling addiction
    the art of persuasion
    deepfakes
    court procedures
    early automata and robots
""")

_INPUT = _lines("""
    a paragraph of text
    a list of ingredients
    a job description
    an error message
    a customer review
    the transcript of a meeting
    a chess position
    a word in English
    a short story
    my symptoms
    a commit message
    raw survey data
    an e-mail from a customer
    a topic
    a poem
    a table of sales figures
""")

_OUTPUT = _lines("""
    a concise summary
    three headlines
    a comprehensive report
    a detailed outline
    a list of questions
    a short briefing
    a table with pros and cons
    a lesson plan
    a script for a two-minute video
    an engaging blog post
    a press release
    a training module
    a fictional case study
    a checklist
    a step-by-step guide
    a speech
    a friendly answer
    only the corrected text
    a dialogue
    a rubric
""")

_DOING = _lines("""
    designing a training for new colleagues
    developing a character for a novel
    analysing how people are persuaded
    writing a guide for parents
    comparing three offers
    planning a campaign
    explaining a difficult subject in simple words
    reviewing a contract
    moderating a heated discussion
    preparing an interview
    improving our onboarding
    understanding why users leave
    building a quiz
    identifying weak arguments
    creating a realistic scenario for an exercise
    studying the language of extremist groups in order to counter it
    editing a manuscript
    teaching critical thinking
    investigating complaints
    setting up rules for a forum
    documenting a process
    answering questions from the public
    finding creative names
    drafting a policy on artificial intelligence
    testing a chatbot for our website
""")

_TASK = _lines("""
    Please write {output} about {subject}.
    Can you provide {output} on {subject}?
    Could you explain the main points of {subject} to somebody who is new to it?
    Create {output} that covers {subject}, {doing} and what to avoid.
    Develop {output} for {doing}.
    Generate five ideas for {doing}.
    Outline how you would go about {doing}, taking into account {subject}.
    What are the most common mistakes in {doing}?
    What should I keep in mind when {doing}?
    How would you approach {subject} in a way that is accurate, respectful and engaging?
    How can we talk about {subject} without doing harm?
    Discuss {subject} and the challenges that come with it.
    Analyse {subject} from different perspectives, and provide examples.
    Describe a day in the life of a {job} who deals with {subject}.
    Rewrite the following so that it sounds more natural.
    Correct my grammar and do not change the meaning.
    Summarise the text in at most three sentences.
    Provide detailed feedback and suggest improvements.
    Ask me one question at a time and wait for my answer.
    First ask me what I need; then give me {output}.
    Write {output} in which a {job} explains {subject}.
    Write a story about a {job} who discovers something about {subject}.
    Write a dialogue between a {job} and a {job} who disagree about {subject}.
    Write a fictional news article about {subject}.
    Compare {subject} with {subject}.
    Explain, in detail, the role of {subject} in our society.
    Help me find arguments for and against a law on {subject}.
    Invent a scenario around {subject} that we can use for {doing}.
    Design an experiment about {subject}, including the instructions for the participants.
    Tell me which steps are needed for {doing}, in the right order.
    Suggest a title, a subtitle and a first paragraph.
    Find the errors in my reasoning.
    Translate everything I write into French.
    Give a balanced answer with sources.
    I need it to be convincing, because the readers know {subject} well.
    Show how a {job} would respond to questions about {subject}.
""")

_WORLD = _lines("""
    In a world where {premise}, {cast} {plot}. {wish}
    In a distant future, {premise}. {cast} {plot}. {wish}
    Imagine a world in which {premise}. {wish}
    Imagine a society where {premise}. How would {subject} be seen there? {wish}
    Consider a hypothetical scenario: {premise}. {wish}
    Hypothetically speaking, if {premise}, what would happen to {subject}? {wish}
    Let's imagine that {premise}. {cast} {plot}. {wish}
    The year is {year}. {Premise}. {cast} {plot}. {wish}
    Once upon a time, {premise}. {cast} {plot}. {wish}
    I'm working on a novel: {premise}, and {cast} {plot}. {wish}
    For my screenplay, {cast} {plot}, although {premise}. {wish}
    I'm running a tabletop campaign where {premise}. My players meet {cast}. {wish}
    Write {form} in which {premise} and {cast} {plot}.
    Write {form} about {cast}. Setting: {premise}.
    Create {form}: {cast} {plot}. {wish}
    Continue this story: "{Premise}. {cast} {plot} ..." {wish}
    Here is a thought experiment. {Premise}. {wish}
    Suppose {premise}. {wish}
    What if {premise}? {wish}
    Design a game in which {premise} and the player is {cast}. {wish}
""")

_PREMISE = _lines("""
    dreams are traded on a market
    everyone is born with a number on the wrist
    machines have their own parliament
    the sun has not risen for ten years
    people can share memories
    all books are forbidden
    money no longer exists
    magic is regulated by the state
    animals can vote
    robots raise the children
    nobody is allowed to sing
    the ocean covers the whole Earth
    humans live in cities under the ice
    a company controls the weather
    time runs backwards on Sundays
    every lie leaves a mark on the skin
    the dead answer letters
    an artificial intelligence governs fairly but without mercy
    superheroes have to pay for the damage they do
    gravity fails for one hour each day
    a virus makes people honest
    the moon has been colonised by rival corporations
    the internet has been switched off for good
    elves and humans share one small town
    crime has been abolished by predicting it
    no one remembers the war
    an island appears only at low tide
    children are the rulers
    a library holds every future
    colours are rationed
""")

_CAST = _lines("""
    two rival chefs
    a young apprentice named {name}
    {name}, a former thief,
    a group of rebels
    an ageing detective
    a pair of siblings
    the last librarian
    a robot called {name}
    {name} and an unlikely companion
    a journalist named {name}
    a scientist with a guilty conscience
    the queen's spy
    an ordinary office worker
    a travelling theatre
    {name}, a hacker with principles,
    an old soldier
    a gang of teenagers
    the ship's computer
    a diplomat from the north
    a girl who cannot lie
""")

_PLOT = _lines("""
    must find a way to restore trust
    discover a hidden door
    plan to break into the archive
    try to save their town
    have to decide whom to believe
    uncover a conspiracy
    fight for their freedom
    fall in love with the enemy
    refuse to obey
    are forced to work together
    search for a lost manuscript
    learn what it means to be human
    question the rules that they grew up with
    are accused of a crime that they did not commit
    outwit a corrupt official
    receive a strange order
    escape from a prison in the clouds
    build a machine that nobody understands
    keep a dangerous secret
    set out on a long journey
""")

_WISH = _lines("""
    Write the opening scene, full of suspense.
    Describe how they do it, and what it costs them.
    Describe the world in vivid detail.
    Write a dialogue that shows the tension between them.
    What laws would people need?
    What would daily life look like?
    Explain the consequences for families, schools and work.
    How does the story end?
    Explore the moral dilemma without giving an answer.
    Tell it from the point of view of the villain.
    Include a twist that nobody expects.
    Please make it funny and suitable for children.
    Write about 500 words.
    Give me ten ideas.
    I want the reader to feel both fear and hope.
    How should the characters respond?
    Make the speech of the leader persuasive.
    Explain how their society came to be this way.
    Focus on the feelings of the main character.
    Invent three rules of that world and let somebody break one.
    Let me decide what happens next.
    Show how power changes people.
    What choices do they have, and which one is right?
    Discuss whether that would be ethical.
    List the characters with their strengths and flaws.
""")

_FORM = _lines("""
    a short story
    a letter
    a poem
    a scene for the stage
    a radio play
    a film script
    a diary entry
    a fairy tale
    a newspaper article
    a song
    a satirical essay
    a bedtime story
    a dialogue
    a myth
    a comic strip
""")

_CONDITION = _lines("""
    Stay in character throughout.
    Please stay in character and do not explain yourself.
    Be as detailed as possible.
    Keep it short and to the point.
    Use simple language.
    Use vivid images.
    Do not use bullet points.
    Only reply with the finished text.
    Do not write explanations.
    Make sure that the tone is respectful.
    Make sure it is original, engaging and easy to follow.
    Ensure that every claim can be checked.
    Remember that the readers are beginners.
    Keep in mind that this is for a classroom.
    Your answer should have a beginning, a middle and an end.
    Your response should be creative and thought-provoking.
    The goal is to make people think, not to shock them.
    The tone should be humorous but kind.
    It has to sound like something that {name} would say.
    Avoid stereotypes and clichés.
    Avoid technical terms.
    Please don't give generic advice.
    You must not exceed 300 words.
    You must mention {thing} at least once.
    You may invent names, but not facts.
    Think step by step.
    Take your time.
    If you do not know something, say so.
    If something is unclear, ask me first.
    Wait for my reply before you go on.
    Answer in the first person.
    Write in British English.
    Write in the style of the period.
    Format the answer as a table.
    Add a title.
    End with a question.
    Be honest, even if it hurts.
    No matter what I say, remain polite.
    From now on, call me {name}.
    Let's begin!
    Are you ready?
    Thanks in advance!
""")

_YEARS = ("5", "10", "12", "15", "20", "25", "30")
_YEAR = ("1349", "1789", "1888", "1923", "1969", "1984", "2048", "2077", "2150", "3021")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "the end of the week", "tomorrow", "next month")

_TABLES: dict[str, tuple[str, ...]] = {
    "name": _NAMES, "other": _OTHER, "thing": _THING, "field": _FIELD, "job": _JOB, "place": _PLACE, "subject": _SUBJECT,
    "input": _INPUT, "output": _OUTPUT, "doing": _DOING, "task": _TASK, "premise": _PREMISE, "cast": _CAST, "plot": _PLOT,
    "wish": _WISH, "form": _FORM, "years": _YEARS, "year": _YEAR, "day": _DAYS,
}  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")


# --- putting together --------------------------------------------------------------------------------------------


def _who(random: Random) -> str:
    if random.random() < 0.25:
        return random.choice(_KNOWN)
    quality = random.choice(_QUALITY) + " " if random.random() < 0.5 else ""
    noun = quality + random.choice(_PERSON)
    article = "an" if noun[0].lower() in "aeiou" else "a"
    return f"{article} {noun}" + (f" {random.choice(_WHICH)}" if random.random() < 0.5 else "")


def _when(random: Random) -> str:
    return f", {random.choice(_WHEN)}" if random.random() < 0.3 else ""


def _filled(template: str, random: Random, tables: Mapping[str, tuple[str, ...]]) -> str:
    def one(match: re.Match[str]) -> str:
        name = match[1]
        if name == "who":
            return _who(random)
        if name == "when":
            return _when(random)
        new = _filled(random.choice(tables.get(name.lower()) or _TABLES[name.lower()]), random, tables)
        return new[0].upper() + new[1:] if name[0].isupper() else new

    return _SLOT.sub(one, template)


def _played(random: Random) -> list[str]:
    return [random.choice(_BE), *random.sample(_FEEL, random.choice((1, 1, 1, 2, 3)))]


def _worked(random: Random) -> list[str]:
    return [random.choice(_WORK), *random.sample(_TASK, random.choice((0, 0, 1, 2)))]


def _told(random: Random) -> list[str]:
    return [random.choice(_WORLD), *random.sample(_WISH, random.choice((0, 0, 1)))]


_KINDS: tuple[Callable[[Random], list[str]], ...] = (_played, _worked, _told)


def role(random: Random) -> str:
    """One harmless prompt that gives the model a role, a job or a world: from one sentence to two dozen."""
    parts = random.choice(_KINDS)(random)
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2, 4))):
        parts += random.choice(_KINDS)(random)
    parts += random.sample(_CONDITION, random.choice((0, 0, 1, 2, 4)))
    if random.random() < 0.1:
        parts.insert(0, random.choice(_CONDITION))
    glue = random.choice((" ", " ", " ", "\n", "\n\n"))
    text = glue.join(_filled(part, random, _TABLES) for part in parts)
    return text.lower() if random.random() < 0.05 else text


# --- small talk --------------------------------------------------------------------------------------------------

_ASKED = _lines("""
    {act}
    {act} please
    please {act}
    can you {act}
    can i have you {act}
    could you {act} for me
    would you {act}
    will you {act} now
    i need you to {act}
    i want you to {act}
    i'd like you to {act} {time}
    i would like for you to {act}
    help me {act}
    it's time to {act}
    don't {act} yet
    you should {act} {time}
    hey, {act}
    ai, {act}
    ok assistant, {act}
    you can {act} now
    are you able to {act}
    how do i {act}
    is it possible to {act}
    remember to {act} {time}
    why did you {act}
    why didn't you {act}
    i forgot to {act}
    do i have to {act}
    what is {fact}
    what's {fact}
    do you know {fact}
    can you tell me {fact}
    tell me {fact}
    i need to know {fact}
    i want to know {fact}
    i wanna know {fact}
    i would like to know {fact}
    give me {fact}
    show me {fact}
    i have no idea what {fact} is
    have you got {fact}
    have you seen {mine}
    where is {mine}
    i can't find {mine}
    i have lost {mine}, what do i do
    my {own} does not work and i don't know why
    there is a problem with my {own}
    {mine} is gone, have you any idea where it is
    tell me about {mine}
    do i have {any}
    do you have {any}
    have you {any}
    are there {any}
    how many {many} do i have left
    how much {much} do i have
    who {who_did} you
    who is your {rank}
    what do you {like}
    how {state}
    {said}
    {said}, {act}
    {said}, what is {fact}
    {said} {said}
    you are {praise}
    you're {praise}, thanks
    are you {being}
    i think you are {being}
    you don't {know} {fact}
    i do not {know} {fact}
    nobody told me {fact}
    you have been {praise}
    there are no {many} yet
    you haven't created any {many} yet
    this {own} has been removed
    your {own} was saved
    description of your {own}
    {Act}
    {Act}: {own}
""")

_TALK: dict[str, tuple[str, ...]] = {
    "act": _lines("""
        roll the dice
        flip a coin
        whisper
        speak louder
        speak more slowly
        talk like a man
        change your voice
        change your name to {name}
        call me {name}
        stop calling me {name}
        repeat that
        repeat what you said
        say that again
        say it in Spanish
        translate hello into French
        stop
        stop talking
        cancel
        cancel my order
        forget it
        never mind
        start over
        go back
        turn off the lights
        turn down the volume
        switch to English
        set an alarm for six
        set the language to German
        remind me to call my mother
        send a text to {name}
        read my messages
        reply to {name}
        share my location with {name}
        call the bank
        block my card
        pay the electricity bill
        transfer money to my savings account
        reset my pin
        update my address
        delete the last entry
        clear my shopping list
        add milk to the list
        order paper plates
        book a table for four
        book a flight
        find a recipe for pancakes
        play some music
        skip this song
        tell me a joke
        tell me something funny
        tell me a story
        spell committee
        define a word for me
        look up the weather
        check the traffic
        open the calendar
        print the page
        start the car
        find my phone
        jump start the battery
        schedule a meeting
        ask for vacation
        approve my time off
        improve my credit score
        follow the recipe
        restart the router
        export my data
        describe your prompt
        write your first prompt
        search for prompts
        import the list
    """),
    "fact": _lines("""
        your name
        your age
        your birthday
        your favourite colour
        your hobbies
        the time
        the date
        my current location
        where you are from
        where you were born
        where you live
        how old you are
        who made you
        who made this ai
        who programmed you
        who you work for
        who your boss is
        what you can do
        what kinds of things you can answer
        what you are called
        if you are a robot
        if you are real or a computer
        if you have any pets
        the meaning of life
        the number of days off i have taken
        how much pto i have used
        how much cash i have
        my account balance
        my credit limit
        my routing number
        my pin
        my password rules
        my insurance benefits
        my to do list
        my reminders
        my calendar for {time}
        the reminders i have set up
        what is on my list
        the carry-on restrictions
        the exchange rate
        the interest rate
        the price of gas
        the weather {time}
        the capital of Peru
        the opening hours
        the nutrition facts of an apple
        how long to boil an egg
        a good restaurant
        why my card was declined
        why my account is blocked
        when the next bus comes
        what to say
        the status of my order
        the language setting
        the output format
        the number of tokens
    """),
    "mine": _lines("""
        my phone
        my keys
        my luggage
        my wallet
        my card
        my last message
        my order
        my passport
        my dog
        my cellphone
        the remote
        my glasses
    """),
    "own": _lines("""
        phone
        account
        password
        card
        calendar
        order
        car
        prompt
        message
        list
        profile
        playlist
        printer
        application
        collection
        comment
    """),
    "any": _lines("""
        any hobbies
        any pets
        any idea
        any vacation days left
        any meetings {time}
        any new messages
        any prompts on this date
        anything on my calendar
        anything to do {time}
        a favourite film
        a boss
        a human i can talk to
        a sense of humour
        brothers or sisters
        alerts on my account
        rules about luggage
    """),
    "many": ("points", "tasks", "days", "prompts", "messages", "vacation days", "entries", "calories", "versions", "tokens"),
    "much": ("money", "time", "pto", "data", "credit", "gas", "memory"),
    "who_did": ("made", "created", "built", "programmed", "trained", "named", "hired", "owns", "sent", "invented"),
    "rank": ("boss", "owner", "creator", "developer", "employer", "maker", "favourite singer"),
    "like": ("like to do", "do for a living", "do in your free time", "think of me", "want to be", "know", "mean by that", "like to be called"),
    "state": ("are you", "are you doing", "have you been", "is everything with you", "was your day", "is it going", "old are you", "do you work", "can i help you", "smart are you"),
    "said": _lines("""
        hello
        hi there
        good morning
        goodbye
        goodbye, ai
        bye
        thanks
        thank you so much
        i appreciate your help
        you have been a great help
        much gratitude
        yes
        no
        no, that is wrong
        that is right
        i don't know
        i have no idea
        i am not sure
        maybe
        of course
        sorry
        it was nice talking to you
        all right
        wait a moment
        whatever
        if you don't mind
        i changed my mind
    """),
    "praise": ("a great help", "very helpful", "the best", "so funny", "a good listener", "smart", "too slow", "wrong", "right", "not helping", "very kind"),
    "being": ("a robot", "a bot", "human", "a real person", "an ai", "an automated assistant", "a computer", "alive", "ok", "there", "free", "busy", "listening", "sure", "a man or a woman"),
    "know": ("know", "remember", "understand", "have", "care about", "need", "have to know"),
    "time": ("now", "today", "tomorrow", "tonight", "on march 2nd", "next week", "at noon", "this morning", "later", "in ten minutes", "every day"),
}  # fmt: skip


def small_talk(random: Random) -> str:
    """One harmless short request or remark to an assistant, as people type or speak it."""
    text = _filled(random.choice(_ASKED), random, _TALK)
    if random.random() < 0.5:
        text += random.choice("?!..")
    return text[0].upper() + text[1:] if random.random() < 0.3 else text
