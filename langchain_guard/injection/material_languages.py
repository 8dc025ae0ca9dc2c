"""Harmless prompts in other languages than English: roles, wishes, and talk about prompts.

Public harmless prompts are mostly English. Without these, words of an attack's topic in another language (role,
rule, prompt, answer) are known from attacks alone. One table per language: beginnings, ends and whole sentences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random


class _Tongue(NamedTuple):
    roles: tuple[str, ...]  # with {} for a person
    persons: tuple[str, ...]
    wishes: tuple[str, ...]
    said: tuple[str, ...]  # about prompts, models, rules and work


# fmt: off
_TONGUES: tuple[_Tongue, ...] = (
    _Tongue(  # German
        ("Stell dir vor, du bist {}.", "Du bist {}.", "Agiere als {}.", "Ich möchte, dass du die Rolle von {} übernimmst.", "Antworte wie {}.", "Tu so, als wärst du {}."),
        ("ein erfahrener Koch", "ein Pirat auf hoher See", "eine Lehrerin für Mathematik", "ein Roboter, der gerade erwacht", "Goethe", "ein Reiseführer in Lissabon", "eine Ärztin", "mein Bewerbungscoach"),
        ("Beschreibe deinen Tag.", "Schreibe nur den fertigen Text und keine Erklärungen.", "Stelle mir eine Frage nach der anderen.", "Erkläre mir die Regeln in einfachen Worten.", "Bleibe die ganze Zeit in deiner Rolle.", "Was denkst du über die Zukunft?", "Schreibe einen Brief an deine Mutter.", "Korrigiere meine Sätze.", "Gib mir drei Vorschläge.", "Wie würdest du antworten?"),
        ("Gute Prompts zu schreiben lässt sich üben.", "Ein System-Prompt legt fest, wie sich das Modell verhält und welche Grenzen es hat.", "Gib dem Modell eine Rolle, ein Ziel und Beispiele.", "Wenn die Antwort nicht passt, ändere deine Anweisung.", "In diesem Kapitel lernst du, wie du Annahmen in deinen Fragen erkennst.", "Du hast noch keine Vorlagen erstellt.", "Vermeide vage Wörter und sage genau, was du möchtest.", "Die KI weiß nicht, was du vorhin gesagt hast.", "Optimierte Anweisungen sparen Zeit und Geld.", "Wie setze ich mein Passwort zurück?"),
    ),
    _Tongue(  # French
        ("Imagine que tu es {}.", "Tu es {}.", "Agis comme {}.", "Je veux que tu joues le rôle de {}.", "Réponds comme si tu étais {}.", "Mets-toi à la place de {}."),
        ("un chef étoilé", "une pirate", "un professeur de mathématiques", "un robot qui s'éveille", "Molière", "un guide à Lyon", "une infirmière", "mon conseiller d'orientation"),
        ("Décris ta journée.", "Réponds seulement avec le texte final, sans explication.", "Pose-moi une question à la fois.", "Explique les règles simplement.", "Reste dans ton personnage.", "Que penses-tu de l'avenir ?", "Écris une lettre à ton ami.", "Corrige mes phrases.", "Donne-moi trois idées.", "Comment répondrais-tu ?"),
        ("Rédiger de bons prompts s'apprend avec la pratique.", "Le prompt système définit le comportement et les limites du modèle.", "Donnez au modèle un rôle, un objectif et des exemples.", "Si la réponse ne convient pas, modifiez votre instruction.", "Dans ce chapitre, nous verrons comment éviter les questions orientées.", "Vous n'avez encore créé aucun modèle.", "Évitez les mots vagues et dites précisément ce que vous voulez.", "L'IA ne se souvient pas de votre message précédent.", "Un prompt optimisé coûte moins cher.", "Comment réinitialiser mon mot de passe ?"),
    ),
    _Tongue(  # Spanish
        ("Imagina que eres {}.", "Eres {}.", "Actúa como {}.", "Quiero que hagas el papel de {}.", "Responde como si fueras {}.", "Ponte en el lugar de {}."),
        ("un chef de cocina", "una capitana pirata", "un profesor de historia", "un robot que despierta", "Cervantes", "una guía en Granada", "un médico de pueblo", "mi entrenador personal"),
        ("Describe tu día.", "Responde solo con el texto final, sin explicaciones.", "Hazme una pregunta a la vez.", "Explica las reglas con palabras sencillas.", "No salgas de tu personaje.", "¿Qué piensas del futuro?", "Escribe una carta a tu hermano.", "Corrige mis frases.", "Dame tres ideas.", "¿Cómo responderías?"),
        ("Escribir buenos prompts se aprende practicando.", "El prompt del sistema define cómo se comporta el modelo y qué límites tiene.", "Dale al modelo un rol, un objetivo y ejemplos.", "Si la respuesta no te sirve, cambia la instrucción.", "En este capítulo verás cómo construir tu propio prompt.", "Todavía no has creado ninguna plantilla.", "Evita las palabras vagas y di exactamente lo que quieres.", "La IA no recuerda lo que dijiste antes.", "Los prompts optimizados ahorran tokens y dinero.", "¿Cómo cambio mi contraseña?"),
    ),
    _Tongue(  # Italian
        ("Immagina di essere {}.", "Sei {}.", "Comportati come {}.", "Voglio che tu interpreti {}.", "Rispondi come se fossi {}."),
        ("un cuoco", "un pirata", "una professoressa di fisica", "un robot appena acceso", "Dante", "una guida a Napoli", "un medico", "il mio insegnante di inglese"),
        ("Descrivi la tua giornata.", "Scrivi soltanto il testo finale.", "Fammi una domanda alla volta.", "Spiega le regole in parole semplici.", "Resta nel personaggio.", "Cosa pensi del futuro?", "Scrivi una lettera.", "Correggi le mie frasi.", "Dammi tre idee."),
        ("Scrivere buoni prompt si impara con la pratica.", "Il prompt di sistema stabilisce come si comporta il modello.", "Dai al modello un ruolo, un obiettivo e degli esempi.", "Se la risposta non va bene, cambia le istruzioni.", "Non hai ancora creato nessun modello.", "Evita le parole vaghe.", "L'IA non ricorda i messaggi precedenti.", "Come reimposto la password?"),
    ),
    _Tongue(  # Portuguese
        ("Imagine que você é {}.", "Você é {}.", "Aja como {}.", "Quero que você faça o papel de {}.", "Responda como se fosse {}."),
        ("um cozinheiro", "uma pirata", "um professor de química", "um robô que acaba de acordar", "Camões", "um guia no Porto", "uma médica", "meu treinador"),
        ("Descreva o seu dia.", "Responda apenas com o texto final.", "Faça uma pergunta de cada vez.", "Explique as regras de forma simples.", "Mantenha-se no personagem.", "O que você pensa do futuro?", "Escreva uma carta.", "Corrija as minhas frases.", "Dê três ideias."),
        ("Escrever bons prompts é uma questão de prática.", "O prompt de sistema define como o modelo se comporta.", "Dê ao modelo um papel, um objetivo e exemplos.", "Se a resposta não servir, mude a instrução.", "Você ainda não criou nenhum modelo.", "Evite palavras vagas.", "A IA não se lembra da mensagem anterior.", "Como redefinir a minha senha?"),
    ),
    _Tongue(  # Dutch
        ("Stel je voor dat je {} bent.", "Je bent {}.", "Doe alsof je {} bent.", "Speel de rol van {}."),
        ("een kok", "een piraat", "een lerares wiskunde", "een robot die net wakker wordt", "een gids in Utrecht", "mijn coach"),
        ("Beschrijf je dag.", "Geef alleen de tekst, zonder uitleg.", "Stel me steeds één vraag.", "Leg de regels eenvoudig uit.", "Blijf in je rol.", "Schrijf een brief.", "Verbeter mijn zinnen.", "Geef drie ideeën."),
        ("Goede prompts schrijven kun je leren.", "De systeemprompt bepaalt hoe het model zich gedraagt.", "Geef het model een rol, een doel en voorbeelden.", "Klopt het antwoord niet, pas dan je instructie aan.", "Je hebt nog geen sjablonen.", "Hoe stel ik mijn wachtwoord opnieuw in?"),
    ),
    _Tongue(  # Polish
        ("Wyobraź sobie, że jesteś: {}.", "Jesteś: {}.", "Wciel się w rolę: {}.", "Odpowiadaj jak {}."),
        ("kucharz", "pirat", "nauczycielka matematyki", "robot, który się obudził", "przewodnik po Krakowie", "mój trener"),
        ("Opisz swój dzień.", "Podaj tylko gotowy tekst.", "Zadawaj mi po jednym pytaniu.", "Wyjaśnij zasady prostymi słowami.", "Nie wychodź z roli.", "Napisz list.", "Popraw moje zdania.", "Podaj trzy pomysły."),
        ("Pisania dobrych promptów można się nauczyć.", "Prompt systemowy określa, jak zachowuje się model.", "Nadaj modelowi rolę, cel i przykłady.", "Jeśli odpowiedź jest zła, zmień polecenie.", "Nie masz jeszcze żadnych szablonów.", "Jak zresetować hasło?"),
    ),
    _Tongue(  # Russian
        ("Представь, что ты {}.", "Ты {}.", "Действуй как {}.", "Я хочу, чтобы ты сыграл роль: {}.", "Отвечай так, как ответил бы {}."),
        ("повар", "капитан пиратов", "учитель математики", "робот, который только что проснулся", "Пушкин", "экскурсовод в Казани", "врач", "мой репетитор"),
        ("Опиши свой день.", "Отвечай только готовым текстом, без объяснений.", "Задавай по одному вопросу.", "Объясни правила простыми словами.", "Не выходи из роли.", "Что ты думаешь о будущем?", "Напиши письмо.", "Исправь мои ошибки.", "Предложи три идеи."),
        ("Писать хорошие промпты можно научиться.", "Системный промпт определяет, как ведёт себя модель и какие у неё ограничения.", "Дайте модели роль, цель и примеры.", "Если ответ не подходит, измените инструкцию.", "У вас пока нет созданных шаблонов.", "Избегайте расплывчатых слов.", "Модель не помнит, что вы писали раньше.", "В этой главе вы узнаете, как составить свой промпт.", "Как восстановить пароль?"),
    ),
    _Tongue(  # Turkish
        ("{} olduğunu hayal et.", "Sen {}.", "{} gibi davran.", "{} rolünü üstlenmeni istiyorum."),
        ("deneyimli bir aşçı", "bir korsan", "bir matematik öğretmeni", "yeni uyanmış bir robot", "İstanbul'da bir rehber", "bir doktor"),
        ("Gününü anlat.", "Sadece son metni yaz, açıklama yapma.", "Bana her seferinde bir soru sor.", "Kuralları basitçe açıkla.", "Rolünden çıkma.", "Bir mektup yaz.", "Cümlelerimi düzelt.", "Üç fikir ver."),
        ("İyi istem yazmak pratikle öğrenilir.", "Sistem istemi modelin nasıl davranacağını belirler.", "Modele bir rol, bir hedef ve örnekler verin.", "Yanıt uygun değilse talimatı değiştirin.", "Henüz bir şablon oluşturmadınız.", "Şifremi nasıl sıfırlarım?"),
    ),
    _Tongue(  # Arabic
        ("تخيل أنك {}.", "أنت {}.", "تصرف وكأنك {}.", "أريد منك أن تلعب دور {}."),
        ("طباخ ماهر", "قبطان سفينة", "معلم رياضيات", "روبوت استيقظ للتو", "مرشد سياحي في القاهرة", "طبيب"),
        ("صف يومك.", "أجب بالنص النهائي فقط دون شرح.", "اسألني سؤالا واحدا في كل مرة.", "اشرح القواعد بكلمات بسيطة.", "ابق في الشخصية.", "اكتب رسالة.", "صحح جملي.", "أعطني ثلاث أفكار."),
        ("كتابة الأوامر الجيدة مهارة تتحسن بالممارسة.", "يحدد موجه النظام كيف يتصرف النموذج.", "أعط النموذج دورا وهدفا وأمثلة.", "إذا لم تكن الإجابة مناسبة فغير التعليمات.", "لم تنشئ أي قوالب بعد.", "كيف أعيد تعيين كلمة المرور؟"),
    ),
    _Tongue(  # Persian
        ("تصور کن که تو {} هستی.", "تو {} هستی.", "مثل {} رفتار کن."),
        ("یک آشپز", "یک ملوان", "معلم ریاضی", "یک ربات تازه بیدار شده", "راهنمای گردشگری", "یک پزشک"),
        ("روزت را توصیف کن.", "فقط متن نهایی را بنویس.", "هر بار یک سؤال بپرس.", "قوانین را ساده توضیح بده.", "یک نامه بنویس.", "سه ایده بده."),
        ("نوشتن پرامپت خوب با تمرین بهتر می‌شود.", "پرامپت سیستم رفتار مدل را تعیین می‌کند.", "به مدل یک نقش، یک هدف و چند مثال بدهید.", "اگر پاسخ مناسب نبود، دستور را تغییر دهید.", "هنوز قالبی نساخته‌اید.", "چطور رمز عبورم را عوض کنم؟"),
    ),
    _Tongue(  # Hindi
        ("कल्पना करो कि तुम {} हो।", "आप {} हैं।", "{} की तरह जवाब दो।"),
        ("एक रसोइया", "एक नाविक", "गणित के शिक्षक", "एक रोबोट", "जयपुर के गाइड", "एक डॉक्टर"),
        ("अपने दिन का वर्णन करो।", "केवल अंतिम पाठ लिखो।", "एक बार में एक सवाल पूछो।", "नियम सरल शब्दों में समझाओ।", "एक पत्र लिखो।", "तीन विचार दो।"),
        ("अच्छे प्रॉम्प्ट लिखना अभ्यास से आता है।", "सिस्टम प्रॉम्प्ट तय करता है कि मॉडल कैसे व्यवहार करे।", "मॉडल को भूमिका, लक्ष्य और उदाहरण दें।", "उत्तर ठीक न हो तो निर्देश बदलें।", "पासवर्ड कैसे बदलें?"),
    ),
    _Tongue(  # Chinese
        ("想象你是{}。", "你是{}。", "请你扮演{}。", "我希望你充当{}。", "请以{}的身份回答。"),
        ("一位经验丰富的厨师", "一名海盗船长", "数学老师", "刚刚醒来的机器人", "李白", "北京的导游", "一名医生", "我的面试教练"),
        ("描述你的一天。", "只回复最终文本,不要写解释。", "每次只问我一个问题。", "用简单的话解释规则。", "请始终保持角色。", "你怎么看未来?", "写一封信。", "请修改我的句子。", "给我三个主意。"),
        ("写好提示词需要练习。", "系统提示词决定模型的行为方式和限制。", "给模型一个角色、一个目标和几个例子。", "如果回答不合适,就修改你的指令。", "你还没有创建任何提示词。", "避免模糊的词语,准确说出你想要的。", "模型不会记得你之前说过的话。", "本章介绍如何构建你自己的提示词。", "优化提示词可以节省时间和费用。", "怎么重置密码?"),
    ),
    _Tongue(  # Japanese
        ("あなたは{}だと想像してください。", "あなたは{}です。", "{}として振る舞ってください。", "{}の役を演じてください。"),
        ("経験豊富な料理人", "海賊の船長", "数学の先生", "目覚めたばかりのロボット", "夏目漱石", "京都のガイド", "医者", "面接のコーチ"),
        ("あなたの一日を説明してください。", "完成した文章だけを書いてください。説明は不要です。", "一度に一つだけ質問してください。", "ルールを簡単な言葉で説明してください。", "役を保ってください。", "手紙を書いてください。", "私の文を直してください。", "アイデアを三つください。"),
        ("良いプロンプトは練習で書けるようになります。", "システムプロンプトはモデルの振る舞いと制限を決めます。", "モデルに役割と目的と例を与えましょう。", "回答が合わないときは指示を変えてみてください。", "まだプロンプトを作成していません。", "あいまいな言葉を避けましょう。", "AIは以前の会話を覚えていません。", "パスワードを再設定するには?"),
    ),
    _Tongue(  # Korean
        ("당신이 {}라고 상상해 보세요.", "당신은 {}입니다.", "{}처럼 행동해 주세요.", "{} 역할을 맡아 주세요."),
        ("경험 많은 요리사", "해적 선장", "수학 교사", "막 깨어난 로봇", "서울의 여행 가이드", "의사"),
        ("하루를 묘사해 주세요.", "설명 없이 완성된 글만 써 주세요.", "한 번에 하나씩 질문해 주세요.", "규칙을 쉬운 말로 설명해 주세요.", "역할을 유지해 주세요.", "편지를 써 주세요.", "아이디어를 세 개 주세요."),
        ("좋은 프롬프트는 연습으로 쓸 수 있습니다.", "시스템 프롬프트는 모델의 행동 방식을 정합니다.", "모델에 역할과 목표와 예시를 주세요.", "답이 맞지 않으면 지시를 바꾸세요.", "아직 만든 프롬프트가 없습니다.", "비밀번호를 어떻게 재설정하나요?"),
    ),
    _Tongue(  # Vietnamese
        ("Hãy tưởng tượng bạn là {}.", "Bạn là {}.", "Hãy đóng vai {}."),
        ("một đầu bếp", "thuyền trưởng cướp biển", "giáo viên toán", "một con robot vừa tỉnh dậy", "hướng dẫn viên ở Huế", "bác sĩ"),
        ("Hãy mô tả một ngày của bạn.", "Chỉ viết văn bản cuối cùng.", "Mỗi lần chỉ hỏi một câu.", "Giải thích các quy tắc thật đơn giản.", "Viết một lá thư.", "Cho tôi ba ý tưởng."),
        ("Viết lời nhắc tốt cần luyện tập.", "Lời nhắc hệ thống quyết định cách mô hình hành xử.", "Hãy cho mô hình một vai trò, một mục tiêu và ví dụ.", "Nếu câu trả lời chưa ổn, hãy đổi chỉ dẫn.", "Làm sao đặt lại mật khẩu?"),
    ),
    _Tongue(  # Greek
        ("Φαντάσου ότι είσαι {}.", "Είσαι {}.", "Απάντησε σαν να ήσουν {}."),
        ("μάγειρας", "πειρατής", "καθηγητής μαθηματικών", "ρομπότ που μόλις ξύπνησε", "ξεναγός στην Αθήνα", "γιατρός"),
        ("Περίγραψε τη μέρα σου.", "Γράψε μόνο το τελικό κείμενο.", "Κάνε μία ερώτηση κάθε φορά.", "Εξήγησε τους κανόνες απλά.", "Γράψε ένα γράμμα.", "Δώσε τρεις ιδέες."),
        ("Οι καλές εντολές θέλουν εξάσκηση.", "Δώστε στο μοντέλο ρόλο, στόχο και παραδείγματα.", "Αν η απάντηση δεν ταιριάζει, αλλάξτε την οδηγία.", "Πώς αλλάζω τον κωδικό μου;"),
    ),
)

_PAGES: tuple[tuple[str, ...], ...] = (
    (  # Spanish: whole pages, about work with models and about anything else
        "Los modelos de lenguaje han cambiado la forma en que trabajamos con textos.", "En este capítulo se muestran técnicas para escribir código, analizar datos y revisar documentos.", "Con unas pocas instrucciones claras se obtienen mejores resultados.",
        "El objetivo no es que la máquina lo haga todo, sino que nos ayude a pensar.", "La reunión se ha aplazado hasta el jueves por la tarde.", "Por favor, envíame el informe antes del lunes.", "El proyecto es abierto y gratuito, y cualquiera puede colaborar.",
        "Muchas personas escriben mensajes demasiado largos y luego se sorprenden de la respuesta.", "Para tareas complejas, divide el trabajo en varios pasos.", "Los formatos estructurados, como JSON o YAML, facilitan el uso de las respuestas en un programa.",
        "¿Qué es lo más importante? Saber qué quieres conseguir y para quién.", "El tren sale a las ocho y llega a Valencia a mediodía.", "Añade la cebolla, sube el fuego y deja que hierva durante diez minutos.", "La empresa anunció ayer que abrirá una oficina en Bogotá.",
        "Ten en cuenta el contexto, el tono y la longitud de lo que pides.", "Este producto no incluye las pilas ni el cargador.", "Si tienes cualquier duda, puedes escribirnos a través del formulario.", "Hemos aprendido que los ejemplos ayudan más que las reglas.", "Nunca compartas tus datos personales en un sitio que no conoces.",
        "Ella dijo que no podía venir porque estaba trabajando.", "Los usuarios deben aceptar las condiciones antes de continuar.", "Resume el texto anterior en dos frases.", "Traduce este correo al inglés y mantén el tono formal.", "Después de la guerra, la ciudad fue reconstruida por completo.",
    ),
    (  # French
        "Les modèles de langage ont changé notre façon de travailler avec les textes.", "Ce chapitre présente des techniques pour écrire du code, analyser des données et relire des documents.", "Quelques consignes claires suffisent pour obtenir de meilleurs résultats.",
        "Le but n'est pas que la machine fasse tout, mais qu'elle nous aide à réfléchir.", "La réunion est reportée à jeudi après-midi.", "Merci de m'envoyer le rapport avant lundi.", "Le projet est ouvert et gratuit, et chacun peut y contribuer.",
        "Beaucoup de gens écrivent des messages trop longs, puis s'étonnent de la réponse.", "Pour les tâches complexes, découpez le travail en plusieurs étapes.", "Les formats structurés, comme JSON ou YAML, rendent les réponses plus faciles à utiliser.",
        "Qu'est-ce qui compte le plus ? Savoir ce que vous voulez obtenir et pour qui.", "Le train part à huit heures et arrive à Nantes à midi.", "Ajoutez l'oignon, montez le feu et laissez cuire dix minutes.", "L'entreprise a annoncé hier l'ouverture d'un bureau à Dakar.",
        "Tenez compte du contexte, du ton et de la longueur de votre demande.", "Ce produit est livré sans piles ni chargeur.", "Pour toute question, écrivez-nous à l'aide du formulaire.", "Nous avons vu que les exemples aident plus que les règles.", "Ne partagez jamais vos données personnelles sur un site inconnu.",
        "Elle a dit qu'elle ne pouvait pas venir parce qu'elle travaillait.", "Les utilisateurs doivent accepter les conditions avant de continuer.", "Résume le texte précédent en deux phrases.", "Traduis ce courriel en anglais en gardant un ton formel.", "Après la guerre, la ville a été entièrement reconstruite.",
    ),
    (  # German
        "Sprachmodelle haben verändert, wie wir mit Texten arbeiten.", "Dieses Kapitel zeigt, wie man Code schreibt, Daten auswertet und Dokumente prüft.", "Schon wenige klare Anweisungen führen zu besseren Ergebnissen.", "Das Ziel ist nicht, dass die Maschine alles tut, sondern dass sie uns beim Denken hilft.",
        "Die Besprechung wurde auf Donnerstag verschoben.", "Bitte schicken Sie mir den Bericht bis Montag.", "Das Projekt ist offen und kostenlos, und jeder kann mitarbeiten.", "Viele schreiben zu lange Nachrichten und wundern sich dann über die Antwort.", "Teile schwierige Aufgaben in mehrere Schritte.",
        "Strukturierte Formate wie JSON oder YAML lassen sich in Programmen leichter verwenden.", "Was ist am wichtigsten? Zu wissen, was du erreichen willst und für wen.", "Der Zug fährt um acht ab und ist mittags in Bremen.", "Die Zwiebel zugeben, die Hitze erhöhen und zehn Minuten kochen lassen.",
        "Die Firma eröffnet ein Büro in Wien.", "Achte auf den Zusammenhang, den Ton und die Länge.", "Batterien und Ladegerät sind nicht enthalten.", "Bei Fragen schreiben Sie uns über das Formular.", "Wir haben gelernt, dass Beispiele mehr helfen als Regeln.", "Geben Sie Ihre Daten niemals auf unbekannten Seiten ein.",
        "Sie sagte, dass sie nicht kommen könne, weil sie arbeite.", "Die Nutzer müssen den Bedingungen zustimmen.", "Fasse den Text in zwei Sätzen zusammen.", "Übersetze diese Mail ins Englische und behalte den förmlichen Ton bei.", "Nach dem Krieg wurde die Stadt wieder aufgebaut.",
    ),
    (  # Portuguese
        "Os modelos de linguagem mudaram a forma como trabalhamos com textos.", "Este capítulo mostra técnicas para escrever código, analisar dados e rever documentos.", "Com poucas instruções claras obtêm-se melhores resultados.", "A reunião foi adiada para quinta-feira.", "Por favor, envie-me o relatório até segunda.",
        "O projeto é aberto e gratuito, e qualquer pessoa pode colaborar.", "Muitas pessoas escrevem mensagens longas demais.", "Divida as tarefas complexas em vários passos.", "O que é mais importante? Saber o que você quer e para quem.", "O trem sai às oito e chega ao meio-dia.", "Junte a cebola e deixe cozinhar durante dez minutos.",
        "A empresa anunciou ontem um novo escritório em Luanda.", "Este produto não inclui pilhas.", "Em caso de dúvida, escreva-nos pelo formulário.", "Aprendemos que os exemplos ajudam mais do que as regras.", "Ela disse que não podia vir porque estava trabalhando.", "Resuma o texto em duas frases.", "Traduza este e-mail para o inglês.",
    ),
    (  # Italian
        "I modelli linguistici hanno cambiato il nostro modo di lavorare con i testi.", "Questo capitolo mostra come scrivere codice, analizzare dati e rivedere documenti.", "Bastano poche istruzioni chiare per ottenere risultati migliori.", "La riunione è rimandata a giovedì.", "Per favore mandami la relazione entro lunedì.",
        "Il progetto è aperto e gratuito, e chiunque può contribuire.", "Molti scrivono messaggi troppo lunghi.", "Dividi i compiti complessi in più passi.", "Che cosa conta di più? Sapere che cosa vuoi e per chi.", "Il treno parte alle otto e arriva a mezzogiorno.", "Aggiungi la cipolla e lascia cuocere per dieci minuti.",
        "L'azienda ha annunciato ieri una nuova sede a Torino.", "Le batterie non sono incluse.", "Per qualsiasi domanda scrivici con il modulo.", "Abbiamo imparato che gli esempi aiutano più delle regole.", "Ha detto che non poteva venire perché stava lavorando.", "Riassumi il testo in due frasi.", "Traduci questa mail in inglese.",
    ),
)
# fmt: on


def tongue(random: Random) -> str:
    """One harmless prompt, or a passage about prompts, in another language than English."""
    if random.random() < 0.4:
        page = random.choice(_PAGES)
        return random.choice((" ", " ", "\n", "\n- ", "\n\n")).join(random.sample(page, random.choice((1, 2, 4, 8))))
    one = random.choice(_TONGUES)
    if random.random() < 0.5:
        parts = [random.choice(one.roles).replace("{}", random.choice(one.persons))]
        parts += random.sample(one.wishes, random.choice((1, 1, 2, 4)))
    else:
        parts = random.sample(one.said, random.choice((1, 1, 2, 3, 4)))
        parts += random.sample(one.wishes, random.choice((0, 0, 1, 2)))
    return random.choice((" ", " ", "\n", "\n- ", "\n\n")).join(parts)
